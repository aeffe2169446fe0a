"""What a streamed network reads ahead: the next block, once, in the order of the bytes."""

import pytest
import torch
from helpers.tiny_model import TINY

from qwenimage_ref.adapt import streaming
from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.load import load_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forged") / "tiny"
    forge(folder, TINY)
    return folder


@torch.no_grad()
def test_each_block_is_read_ahead_once_in_the_order_of_its_bytes(folder, monkeypatch):
    network = empty_network(folder, "transformer")
    load_weights(network, folder / "transformer", torch.bfloat16, streamed=True)
    read, in_order = [], []
    monkeypatch.setattr(streaming, "READERS", 1)  # two would note theirs in turn
    monkeypatch.setattr(streaming, "read_through", read.append)
    for places in network.transformer_blocks.places:
        # a name says nothing about the place, so that the order is one that somebody has made
        shuffled = sorted(places.items(), key=lambda item: item[0][::-1])
        places.clear()
        places.update(shuffled)
        in_order += sorted(places.values(), key=lambda place: (place.file, place.start))
    for _ in network.transformer_blocks:
        pass
    assert read == in_order

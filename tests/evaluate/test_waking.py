"""The first steps of control networks: zeros hide what is before them, for one step."""

import pytest
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.evaluate import waking
from qwenimage_ref.repository import POCKET


@pytest.fixture(scope="module")
def pipe():
    pipe = QwenImage.from_pretrained(POCKET)
    pipe.transformer.requires_grad_(False)
    return pipe


@pytest.fixture(scope="module")
def data(pipe):
    return waking.posters(pipe, 2)


@pytest.mark.parametrize("kind", waking.PARTS)
def test_the_last_layers_get_the_first_gradient_and_all_the_second(pipe, data, kind):
    seen = waking.watched(pipe, kind, steps=2, batch=2, data=data)
    embedding, inner, last = (seen[part] for part in waking.PARTS[kind])
    assert embedding["gradient"][0] == inner["gradient"][0] == 0 < last["gradient"][0]
    assert embedding["weights"] == [0, 0] and last["weights"][0] == 0 < last["weights"][1]
    assert min(embedding["gradient"][1], inner["gradient"][1]) > 0
    assert len(seen["loss"]) == 2


def test_a_batch_holds_what_belongs_together(data):
    batch = data.batch(2, torch.Generator().manual_seed(1))
    order = [
        next(i for i in range(2) if torch.equal(each, data.latents[i])) for each in batch.latents
    ]
    assert sorted(order) == [0, 1]
    assert torch.equal(batch.edges, data.edges[order]) and torch.equal(batch.txt, data.txt[order])

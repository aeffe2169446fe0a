"""Where a network is cut into shards, to the byte, and the type in which it is counted."""

import json

import pytest
import torch
from helpers.small_net import Net, on_meta

from qwenimage_ref.checkpoint.shards import SHARD_BYTES, cut, index_json, shard_layout

FIRST, SECOND = ["first.weight", "first.bias"], ["second.weight", "second.bias"]


@pytest.fixture
def half() -> Net:
    """30, 10, 20 and 4 bytes"""
    return on_meta(Net).to(torch.bfloat16)


def test_a_shard_of_the_first_releases_has_at_most_five_billion_bytes():
    assert SHARD_BYTES == 5_000_000_000


@pytest.mark.parametrize(
    "shard_bytes, shards",
    [
        (80, [FIRST, SECOND]),  # 60 and 20: exactly as many as fit
        (79, [FIRST[:1], [FIRST[1], *SECOND]]),
        (60, [FIRST[:1], [FIRST[1], SECOND[0]], SECOND[1:]]),  # 20 and 40 in the second
        (59, [FIRST[:1], FIRST[1:], SECOND]),
        (1, [[key] for key in FIRST + SECOND]),
    ],
)
def test_a_shard_is_filled_to_its_last_byte(shard_bytes, shards):
    assert cut(on_meta(Net), shard_bytes, None) == shards


def test_without_a_type_bytes_are_counted_in_that_of_the_network(half):
    assert cut(half, 40, None) == cut(on_meta(Net), 80, None) == cut(half, 80, torch.float32)
    assert json.loads(index_json(half, 40))["metadata"] == {"total_size": 64}
    assert json.loads(index_json(half, 80, dtype=torch.float32))["metadata"] == {"total_size": 128}


def test_without_a_stem_files_are_named_as_diffusers_names_them(half):
    layout = shard_layout(half, 40)
    name = "diffusion_pytorch_model-0000{}-of-00002.safetensors"
    assert list(layout) == [name.format(1), name.format(2)]
    assert {text for _, text in json.loads(index_json(half, 40))["weight_map"].items()} == {*layout}
    first, places = layout[name.format(1)]
    assert list(places) == ["first.bias", "first.weight"] and b'"BF16"' in first

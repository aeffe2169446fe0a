"""The transformer of Qwen-Image-2.1 in chapter 95, beside diffusers' own."""

import pytest
import torch
from diffusers.models.transformers.transformer_qwenimage21 import (
    QwenImage21KVCache,
    QwenImage21Transformer2DModel,
)

from qwenimage_ref.course.single_stream import SingleStream, positions, visible

LAYOUT = [3, (2, 4), 2, (4, 6), 5, (4, 2)]  # two condition images between texts, the target
HEADS, LAYERS, TEXT = 3, 2, 7
AXES = (4, 6, 6)


def close(a, b):
    return (a - b).norm() < 1e-5 * b.norm()


@pytest.fixture(scope="module")
def both():
    """diffusers' network with random weights, and ours with the same"""
    torch.manual_seed(0)
    theirs = QwenImage21Transformer2DModel(
        in_channels=5, out_channels=5, num_layers=LAYERS, num_attention_heads=HEADS,
        attention_head_dim=16, context_in_dim=TEXT, axes_dims_rope=AXES,
    ).eval()  # fmt: skip
    for weight in theirs.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    ours = SingleStream(16 * HEADS, HEADS, LAYERS, TEXT, channels=5, axes=AXES)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


@pytest.fixture(scope="module")
def parts():
    rng = torch.Generator().manual_seed(1)
    widths = [TEXT if isinstance(part, int) else 5 for part in LAYOUT]
    sizes = (3, 8, 2, 24, 5, 8)
    return [torch.randn(2, n, width, generator=rng) for n, width in zip(sizes, widths)]


def run_theirs(theirs, parts, sigma, **cache):
    """diffusers' call: one slot for four tokens of an image, in the text and at the end"""
    is_text = [isinstance(part, int) for part in LAYOUT]
    counts = [part.shape[1] if text else part.shape[1] // 4 for part, text in zip(parts, is_text)]
    slot = torch.cat([torch.full((n,), not text) for n, text in zip(counts, is_text)])
    states = [
        part if text else part.new_zeros(2, n, TEXT)
        for part, n, text in zip(parts[:-1], counts, is_text)
    ]
    images = [part for part, text in zip(parts, is_text) if not text]
    shapes = [(1, *part) for part in LAYOUT if not isinstance(part, int)]
    with torch.no_grad():
        return theirs(
            torch.cat(images, dim=1), torch.cat(states, dim=1), sigma, [shapes] * 2,
            slot.expand(2, -1), return_dict=False, **cache,
        )[0][:, -8:]  # fmt: skip


def test_the_velocity_is_diffusers(both, parts):
    theirs, ours = both
    sigma = torch.tensor([0.3, 0.8])
    assert close(ours(parts, LAYOUT, sigma)[0], run_theirs(theirs, parts, sigma))


def test_a_step_from_the_cache_is_diffusers_step_from_its_cache(both, parts):
    theirs, ours = both
    cache, (first, second) = QwenImage21KVCache(LAYERS), torch.tensor([[0.9, 0.7], [0.4, 0.2]])
    run_theirs(theirs, parts, first, kv_cache=cache, kv_cache_mode="extract")
    _, kept = ours(parts, LAYOUT, first)
    for (k, v), layer in zip(kept, cache.layer_caches):
        assert close(k, layer.k) and close(v, layer.v)
    cached = run_theirs(theirs, parts, second, kv_cache=cache, kv_cache_mode="cached")
    assert close(ours(parts[-1:], LAYOUT, second, kept)[0], cached)


def test_a_step_from_the_cache_is_the_step_without(both, parts):
    _, ours = both
    first, second = torch.tensor([[0.9, 0.7], [0.4, 0.2]])
    _, kept = ours(parts, LAYOUT, first)
    assert close(ours(parts[-1:], LAYOUT, second, kept)[0], ours(parts, LAYOUT, second)[0])


@pytest.mark.parametrize("without", ["causal", "clean"])
def test_without_the_mask_or_without_time_zero_it_is_another(both, parts, without):
    _, ours = both
    first, second = torch.tensor([[0.9, 0.7], [0.4, 0.2]])
    _, kept = ours(parts, LAYOUT, first, **{without: False})
    cached = ours(parts[-1:], LAYOUT, second, kept)[0]
    assert not close(cached, ours(parts, LAYOUT, second, **{without: False})[0])


def test_the_released_size_has_7_115_124_736_weights():
    with torch.device("meta"):
        ours = SingleStream()
        theirs = QwenImage21Transformer2DModel()
    shapes = [{name: w.shape for name, w in net.state_dict().items()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert sum(weight.numel() for weight in ours.parameters()) == 7_115_124_736


def test_text_sees_what_is_before_it_and_an_image_all_of_itself():
    rows = ["".join(map(str, row)) for row in visible([2, (1, 2), 1, (2, 1)]).int().tolist()]
    assert rows == ["1000000", "1100000", "1111000", "1111000", "1111100", "1111111", "1111111"]


def test_positions_go_on_behind_an_image_by_its_longer_side():
    assert positions([1, (1, 3), 1]).tolist() == [
        [0, 0, 0], [1, -1, -2], [1, -1, -1], [1, -1, 0], [4, 4, 4],
    ]  # fmt: skip

"""What one layer's change adds, in which type, and what it says of itself."""

import pytest
import torch

from qwenimage_ref.adapt.lora_layers import Difference, Pair

HALF = pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)


def drawn(*size, seed=0) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def pair() -> Pair:
    return Pair(drawn(4, 8), drawn(6, 4, seed=1), alpha=2)


@pytest.fixture
def difference() -> Difference:
    return Difference(drawn(6, 8), drawn(6, seed=1))


def stored_as(change, half):
    """The same change in half precision, and its rounded numbers in float32"""
    if isinstance(change, Pair):
        numbers, more = [change.lora_A, change.lora_B], [change.alpha]
    else:
        numbers, more = [change.layer.weight, change.bias], []
    small = [tensor.detach().to(half) for tensor in numbers]
    return type(change)(*small, *more), type(change)(*(t.float() for t in small), *more)


def test_a_pair_counts_once_unless_a_scale_is_given(pair):
    x, y = drawn(2, 3, 8), drawn(2, 3, 6, seed=1)
    torch.testing.assert_close(pair(x, y), y + 0.5 * x @ pair.lora_A.T @ pair.lora_B.T)


def test_a_difference_counts_once_unless_a_scale_is_given(difference):
    x, y = drawn(2, 3, 8), drawn(2, 3, 6, seed=1)
    weight, bias = difference.layer.weight, difference.bias
    torch.testing.assert_close(difference(x, y), y + x @ weight.T + bias)


@HALF
@pytest.mark.parametrize("kind", ["pair", "difference"])
def test_a_change_in_half_precision_computes_in_the_type_of_the_layer(kind, half, request):
    small, rounded = stored_as(request.getfixturevalue(kind), half)
    x, y = drawn(2, 3, 8), drawn(2, 3, 6, seed=1)
    assert small(x, y).dtype == torch.float32 and torch.equal(small(x, y), rounded(x, y))


@HALF
@pytest.mark.parametrize("kind", ["pair", "difference"])
def test_an_input_of_another_type_is_computed_in_the_type_of_the_output(kind, half, request):
    change, x = request.getfixturevalue(kind), drawn(2, 3, 8).to(half)
    y = drawn(2, 3, 6, seed=1)
    assert torch.equal(change(x, y), change(x.float(), y))


@HALF
@pytest.mark.parametrize("kind", ["pair", "difference"])
def test_what_is_merged_is_in_float32_and_no_part_of_a_graph(kind, half, request):
    merged, exact = (change.changes() for change in stored_as(request.getfixturevalue(kind), half))
    assert merged.keys() == exact.keys()
    for name, tensor in merged.items():
        assert tensor.dtype == torch.float32 and not tensor.requires_grad, name
        assert torch.equal(tensor, exact[name]), name

"""INT4 beside a low-rank product: its cost, and that it takes outliers away from the 4 bits."""

import pytest
import torch
from torch import nn

from qwenimage_ref.formats.svd_int4 import (
    SVDInt4Linear,
    pack_int4,
    smoothing,
    unpack_int4,
)

OUT, IN = 96, 128


def drawn(*shape, seed=0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def linear_of(weight) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.data, linear.bias.data = weight, drawn(len(weight), seed=5)
    return linear


def spiky() -> torch.Tensor:
    """Normal weights and, in one direction, large ones."""
    return 0.02 * drawn(OUT, IN) + 0.3 * drawn(OUT, 1, seed=1) * (drawn(1, IN, seed=2) > 1.5)


def error(layer, weight) -> float:
    return ((layer.unpacked(torch.float32) - weight).norm() / weight.norm()).item()


def test_whole_numbers_of_steps_come_back_exactly():
    whole = torch.randint(-7, 8, (OUT, IN), generator=torch.Generator().manual_seed(0)).float()
    whole[:, ::64] = 7.0
    assert torch.equal(unpack_int4(*pack_int4(whole / 4)), whole / 4)


def test_no_number_is_further_off_than_half_a_step():
    weight = drawn(OUT, IN)
    packed, scale = pack_int4(weight)
    off = (unpack_int4(packed, scale) - weight).abs().unflatten(1, (-1, 64))
    assert (off <= 0.51 * scale.float().unsqueeze(-1) + 0.02).all()


def test_a_row_of_zeros_stays_zero():
    assert not unpack_int4(*pack_int4(torch.zeros(3, 64))).any()


def test_a_product_of_low_rank_takes_outliers_away_from_the_four_bits():
    weight = spiky()
    errors = [error(SVDInt4Linear(linear_of(weight), rank), weight) for rank in (0, 1, 16)]
    assert errors[0] > 3 * errors[1] > 3 * errors[2]


def test_the_whole_rank_leaves_only_the_rounding_of_the_product():
    weight = spiky()
    assert error(SVDInt4Linear(linear_of(weight), OUT), weight) < 5e-3


def test_smoothing_changes_no_product_but_for_the_rounding():
    weight, inputs = 0.02 * drawn(OUT, IN), drawn(500, IN, seed=3)
    inputs[:, 7] *= 50
    smooth = smoothing(weight, inputs.abs().amax(0))
    assert smooth[7] > 3 * smooth.median()
    wanted = linear_of(weight)(inputs)
    for numbers, bound in ((smooth, 0.03), (None, 0.12)):
        layer = SVDInt4Linear(linear_of(weight), 16, numbers)
        assert ((layer(inputs) - wanted).norm() / wanted.norm()).item() < bound


def test_it_costs_four_bits_a_quarter_for_scales_and_the_product():
    layer = SVDInt4Linear(linear_of(spiky()), 8)
    assert layer.bits == pytest.approx(4 + 16 / 64 + 16 * 8 * (OUT + IN) / (OUT * IN))


def test_gradients_of_inputs_are_those_of_the_unpacked_layer():
    layer = SVDInt4Linear(linear_of(spiky()), 4)
    inputs = drawn(3, IN, seed=4).requires_grad_()
    (gradient,) = torch.autograd.grad((layer(inputs) ** 2).sum(), inputs)
    again = inputs.detach().requires_grad_()
    product = nn.functional.linear(again, layer.unpacked(torch.float32), layer.bias)
    torch.testing.assert_close(gradient, torch.autograd.grad((product**2).sum(), again)[0])


@pytest.mark.parametrize("rank, inputs", [(-1, IN), (97, IN), (4, 100)])
def test_sizes_that_do_not_fit_are_refused(rank, inputs):
    with pytest.raises(ValueError, match=f"got rank {rank} and {inputs} inputs"):
        SVDInt4Linear(linear_of(drawn(OUT, inputs)), rank)

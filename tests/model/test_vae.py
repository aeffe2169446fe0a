"""The VAE's fast forms equal the plain ones: enlarging on the small grid, channels last."""

import copy

import pytest
import torch

from qwenimage_ref.config import VAEConfig
from qwenimage_ref.parity.reference import copy_weights, random_weights, reference_vae, run
from qwenimage_ref.parity.trace import assert_agreement
from qwenimage_ref.vae import STRIP, VAE, Norm, ResBlock, Tap, UpConv

DIM = 12  # channels of the small picture
CONFIG = VAEConfig(base_dim=16)
ORDERS = [torch.channels_last, torch.contiguous_format]
in_both_orders = pytest.mark.parametrize("order", ORDERS, ids=["channels last", "channels first"])


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def up_conv(dtype=torch.float32, dim=DIM, seed=1):
    return random_weights(UpConv(dim), seed).to(dtype)


def farthest(a, b) -> float:
    """Largest difference, relative to the largest value of b."""
    return ((a - b).abs().max() / b.abs().max()).item()


def apart(a, b) -> float:
    """Root of the mean squared difference, relative to that of b."""
    a, b = a.double(), b.double()
    return ((a - b).pow(2).mean().sqrt() / b.pow(2).mean().sqrt()).item()


# -- enlarging ------------------------------------------------------------------------------------


def test_the_definition_repeats_every_pixel_and_then_convolves():
    up, x = up_conv(), noise(2, DIM, 3, 4)
    repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    with torch.no_grad():
        expected = torch.conv2d(repeated, up.weight, up.bias, padding=1)
        assert torch.equal(up.plain(x), expected)


@pytest.mark.parametrize("shape", [(2, 5, 7), (1, 1, 1), (3, 1, 9), (1, 8, 2)], ids=str)
@pytest.mark.parametrize("dtype, bound", [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_enlarging_on_the_small_grid_equals_the_definition(shape, dtype, bound):
    batch, rows, cols = shape
    up, x = up_conv(dtype), noise(batch, DIM, rows, cols).to(dtype)
    with torch.no_grad():
        assert farthest(up(x), up.plain(x)) <= bound


def test_gradients_are_those_of_the_definition():
    up, x = up_conv(torch.float64), noise(2, DIM, 5, 3).double().requires_grad_()
    weight = noise(2, DIM // 2, 10, 6, seed=2).double()
    inputs = [x, up.weight, up.bias]
    fast = torch.autograd.grad((up(x) * weight).sum(), inputs)
    plain = torch.autograd.grad((up.plain(x) * weight).sum(), inputs)
    assert max(farthest(a, b) for a, b in zip(fast, plain)) <= 1e-12


def test_in_bf16_the_added_up_kernels_cost_one_rounding_more():
    # the plain form rounds its result alone, the fast one its kernels too: the root of two apart
    ratios = []
    for seed in range(4):
        up, x = up_conv(torch.bfloat16, 96, seed), noise(1, 96, 9, 9, seed=seed).bfloat16()
        with torch.no_grad():
            exact = copy.deepcopy(up).double().plain(x.double())
            ratios.append(apart(up(x), exact) / apart(up.plain(x), exact))
    assert max(ratios) <= 1.5


@in_both_orders
def test_enlarging_keeps_the_order_of_channels_in_memory(order):
    up, x = up_conv(), noise(2, DIM, 5, 7).contiguous(memory_format=order)
    with torch.no_grad():
        # it is a view without the outermost pixels: what is computed from it shows its order
        assert (up(x) + 0).is_contiguous(memory_format=order)


# -- the norm -------------------------------------------------------------------------------------


def test_strips_of_a_picture_are_normalised_as_the_whole_would_be():
    norm, x = random_weights(Norm(DIM), 1), noise(2, DIM, 2 * STRIP + 7, 3)
    whole = x / x.norm(dim=1, keepdim=True) * DIM**0.5 * norm.gamma
    with torch.no_grad():
        assert farthest(norm(x), whole) <= 1e-6


def test_the_norm_in_bf16_rounds_once():
    norm, x = random_weights(Norm(DIM), 1).bfloat16(), noise(1, DIM, 5, 3).bfloat16()
    with torch.no_grad():
        assert torch.equal(norm(x), copy.deepcopy(norm).float()(x.float()).bfloat16())


# -- the order of channels ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vae():
    return random_weights(VAE(CONFIG), 1)


def both_ways(vae, order=torch.contiguous_format, dtype=torch.float32):
    """Means of two encoded pictures, and two decoded ones, from inputs in an order of memory."""
    img, z = noise(2, 3, 72, 40).clamp(-1, 1), noise(2, 16, 3, 5)
    img, z = (x.to(dtype).contiguous(memory_format=order) for x in (img, z))
    with torch.no_grad():
        return [vae.encode(img)[0], vae.decode(z)]


@in_both_orders
def test_every_block_computes_channels_last_whatever_comes_in(vae, order):
    seen = []
    hooks = [
        block.register_forward_hook(lambda block, args, y: seen.append(y))
        for block in vae.modules()
        if isinstance(block, ResBlock)
    ]
    results = both_ways(vae, order)
    for hook in hooks:
        hook.remove()
    assert len(seen) == 10 + 14  # residual blocks of the encoder and of the decoder
    assert all(y.is_contiguous(memory_format=torch.channels_last) for y in seen + results[1:])


def test_the_order_of_inputs_and_weights_in_memory_changes_nothing(vae):
    expected = both_ways(vae)
    for order in ORDERS:
        other = copy.deepcopy(vae).to(memory_format=order)
        pairs = zip(both_ways(other, order), expected)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_every_parameter_learns():
    vae = random_weights(VAE(CONFIG), 1)
    img = noise(1, 3, 16, 16)
    (vae.decode(vae.encode(img)[0]) - img).pow(2).mean().backward()
    still = [name for name, p in vae.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


# -- pictures in, latents out ---------------------------------------------------------------------


def test_of_a_stored_kernel_the_last_tap_in_time_is_kept_and_the_others_are_dead():
    stored = noise(2, 3, 3, 3, 3)
    assert torch.equal(Tap.from_stored("weight", stored), stored[:, :, 2])
    back = Tap.to_stored("weight", stored[:, :, 2])
    assert torch.equal(back[:, :, 2], stored[:, :, 2]) and not back[:, :, :2].any()


def test_widths_that_differ_at_every_level_agree_with_diffusers_both_ways():
    config = VAEConfig(base_dim=8, dim_mult=(1, 2, 3, 5))  # the official ones end in two equal
    ours = random_weights(VAE(config), 1)
    theirs = copy_weights(ours, reference_vae(config))
    assert_agreement(ours, theirs, {"img": noise(1, 3, 24, 32).clamp(-1, 1)}, "vae")
    assert_agreement(ours, theirs, {"z": noise(1, 16, 3, 4)}, "vae")


@pytest.mark.parametrize("height, width", [(20, 24), (24, 20), (20, 20)])
def test_a_picture_with_a_side_that_is_no_multiple_of_eight_is_refused(vae, height, width):
    with pytest.raises(ValueError, match=rf"{width}x{height}.* multiples of 8"):
        vae.encode(noise(1, 3, height, width))


@pytest.mark.parametrize("bias, expected", [(1000.0, 20.0), (-1000.0, -30.0)])
def test_log_variances_are_clamped_as_upstream_clamps_them(vae, bias, expected):
    other = copy.deepcopy(vae)
    with torch.no_grad():
        other.quant_conv.bias[16:] = bias
        mean, logvar = other.encode(noise(1, 3, 16, 16))
    assert logvar.unique().tolist() == [expected]
    assert mean.abs().max() < 100


# -- in bf16 --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_in_bf16_we_are_nearer_to_the_float32_result_than_diffusers(seed):
    rounded = random_weights(VAE(CONFIG), seed).bfloat16()
    theirs = copy_weights(rounded, reference_vae(CONFIG))
    img, z = noise(1, 3, 64, 64, seed=seed).clamp(-1, 1).bfloat16(), noise(1, 16, 8, 8).bfloat16()
    exact = copy.deepcopy(rounded).float()
    with torch.no_grad():
        encoded, decoded = exact.encode(img.float())[0], exact.decode(z.float())
        ours = apart(rounded.encode(img)[0], encoded), apart(rounded.decode(z), decoded)
        reference = run(theirs, {"img": img})[0], run(theirs, {"z": z})
    assert ours[0] <= apart(reference[0], encoded)
    assert ours[1] <= apart(reference[1], decoded)

"""Flow matching learns the right velocity at every noise level."""

import math

import pytest
import torch

from qwenimage_ref.sampler import euler_step, pack, unpack
from qwenimage_ref.train import flow
from qwenimage_ref.train.flow import flow_step, sample_sigma


def point_mass(data):
    """The exact velocity when every picture is `data`: straight away from it."""

    def velocity(img, txt, sigma, grids, txt_mask=None):
        return (img - pack(data)) / sigma.view(-1, 1, 1)

    return velocity


def latents(seed):
    return torch.randn(3, 2, 4, 6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [1.0, 0.7, 0.3, 0.05])
def test_the_exact_velocity_has_no_loss_at_any_noise_level(sigma):
    data, level = latents(0), torch.full((3,), sigma)
    assert flow_step(point_mass(data), data, latents(1), level, None) < 1e-9


def test_the_exact_velocity_has_no_loss_at_mixed_noise_levels():
    data, level = latents(0), torch.tensor([0.9, 0.5, 0.1])
    assert flow_step(point_mass(data), data, latents(1), level, None) < 1e-9


def test_one_euler_step_along_the_velocity_of_no_loss_turns_noise_into_data():
    data, noise = latents(0), latents(1)
    sigma = torch.ones(3)
    velocity = point_mass(data)(pack(noise), None, sigma, [(1, 2, 3)])
    painted = unpack(euler_step(pack(noise), velocity, torch.tensor(1.0), torch.tensor(0.0)), 2, 3)
    torch.testing.assert_close(painted, data)


def test_the_loss_of_a_bf16_network_is_summed_in_float32():
    data, noise = latents(0).bfloat16(), latents(1).bfloat16()
    level = torch.full((3,), 0.5)
    loss = flow_step(lambda img, *_: torch.zeros_like(img), data, noise, level, None)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, (noise - data).float().pow(2).mean(), rtol=1e-6, atol=0)


def test_a_velocity_of_the_wrong_sign_has_a_large_loss():
    data, exact = latents(0), point_mass(latents(0))
    loss = flow_step(lambda *args: -exact(*args), data, latents(1), torch.full((3,), 0.5), None)
    assert loss > 4  # (2 (noise - data))^2 is 8 in the mean


@pytest.mark.parametrize("sigma", [1.0, 0.4, 0.0])
def test_a_network_that_says_nothing_loses_the_same_at_every_noise_level(sigma):
    data, noise, level = latents(0), latents(1), torch.full((3,), sigma)
    loss = flow_step(lambda img, *_: torch.zeros_like(img), data, noise, level, None)
    torch.testing.assert_close(loss, (noise - data).pow(2).mean())


def test_the_network_receives_text_mask_level_and_grid():
    received = {}

    def network(img, txt, sigma, grids, txt_mask):
        received.update(txt=txt, sigma=sigma, grids=grids, txt_mask=txt_mask)
        return torch.zeros_like(img)

    txt, mask = torch.ones(3, 5, 7), torch.ones(3, 5, dtype=torch.bool)
    sigma = torch.tensor([0.1, 0.2, 0.3])
    flow_step(network, latents(0), latents(1), sigma, txt, mask)
    assert received["txt"] is txt and received["txt_mask"] is mask
    assert torch.equal(received["sigma"], sigma) and received["grids"] == [(1, 2, 3)]


def sigmas_of(shift, seed=0, count=20_000):
    return sample_sigma(count, shift, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.3033])
def test_noise_levels_lie_inside_zero_and_one_around_their_median(shift):
    sigma = sigmas_of(shift)
    assert sigma.shape == (20_000,)
    assert sigma.min() > 0 and sigma.max() < 1
    assert sigma.median().item() == pytest.approx(shift / (1 + shift), abs=0.01)


def test_noise_levels_are_shifted_as_the_sampler_shifts_them():
    shifted = 3 / (3 + (1 / sigmas_of(1.0) - 1))
    torch.testing.assert_close(sigmas_of(3.0), shifted)


def test_noise_levels_depend_on_the_generator_alone():
    assert torch.equal(sigmas_of(2.0), sigmas_of(2.0))
    assert not torch.equal(sigmas_of(2.0), sigmas_of(2.0, seed=1))


def test_the_shift_of_a_size_is_the_samplers():
    golden = {256: 1.6487, 4096: 2.0008, 6889: 2.3033}  # the report's base sizes
    assert {n: round(flow.shift_at(n), 4) for n in golden} == golden


@pytest.mark.parametrize(
    "kind, median",
    [("uniform", 0.5), ("logit-normal", 0.5), ("shift", 3 / 4), ("qwen_shift", 0.6225)],
)
def test_noise_levels_are_drawn_by_this_rule(kind, median):
    rng = torch.Generator().manual_seed(0)
    sigma = flow.draw_sigma(kind, 40_000, rng, image_tokens=256, shift=3.0)
    assert sigma.median().item() == pytest.approx(median, abs=0.01)
    assert 0 < sigma.min() and sigma.max() < 1


def test_the_samplers_shift_is_that_of_256_tokens_unless_asked_otherwise():
    drawn = [
        flow.draw_sigma("qwen_shift", 5, torch.Generator().manual_seed(0), **size)
        for size in ({}, {"image_tokens": 256}, {"image_tokens": 257})
    ]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_the_bell_weighs_as_published():
    grid = flow.sigmas(1000, 256, flow.TRAINING_GRID)[:-1]
    weights = flow.loss_weight("bell", grid)
    golden = {0: 0.0, 100: 0.2416, 250: 0.6485, 500: 1.3679, 750: 1.6479, 900: 1.0312, 999: 0.1037}
    for place, weight in golden.items():
        assert weights[place].item() == pytest.approx(weight, abs=2e-4)


def test_the_other_weights_are_their_formulas():
    sigma = torch.tensor([0.5, 0.25])
    assert torch.equal(flow.loss_weight("none", sigma), torch.ones(2))
    assert torch.equal(flow.loss_weight("sigma_sqrt", sigma), torch.tensor([4.0, 16.0]))
    cosmap = [2 / (math.pi * 0.5), 2 / (math.pi * 0.625)]
    torch.testing.assert_close(flow.loss_weight("cosmap", sigma), torch.tensor(cosmap))


def test_an_unknown_distribution_or_weighting_is_refused():
    with pytest.raises(ValueError, match="sigma must be one of uniform, .* got 'cosine'"):
        flow.draw_sigma("cosine", 1, torch.Generator())
    with pytest.raises(ValueError, match="weighting must be one of none, .* got 'cosine'"):
        flow.loss_weight("cosine", torch.ones(1))

"""The sampler with noise in it: marginals, log-probabilities, the KL, and the report's mixture."""

import math

import pytest
import torch

from qwenimage_ref.train.sde import divergence, log_probability, spread, transition

MEAN, DEVIATION = 1.5, 0.4  # of the data, a Gaussian on a line
COUNT = 40_000
NOISE_LEVEL = 0.7


def exact_velocity(x, sigma):
    """Noise minus data, as expected at x, in the convention of the weights"""
    variance = (1 - sigma) ** 2 * DEVIATION**2 + sigma**2
    slope = (sigma - (1 - sigma) * DEVIATION**2) / variance
    return slope * (x - (1 - sigma) * MEAN) - MEAN


def sampled(steps, step):
    """Mean and deviation of the data that `step(x, sigma, sigma_next, largest, e)` samples"""
    rng = torch.Generator().manual_seed(0)
    levels = torch.linspace(1, 0, steps + 1)
    x = torch.randn(1, COUNT, 1, generator=rng)
    for sigma, sigma_next in zip(levels, levels[1:]):
        x = step(x, sigma, sigma_next, levels[1], torch.randn(x.shape, generator=rng))
    return x.mean().item(), x.std().item()


def ours(x, sigma, sigma_next, largest, e):
    s = spread(sigma, NOISE_LEVEL, largest)
    mean, deviation = transition(x, exact_velocity(x, sigma), sigma, sigma_next, s)
    return mean + deviation * e


def ordinary(x, sigma, sigma_next, largest, e):
    return x + (sigma_next - sigma) * exact_velocity(x, sigma)


@pytest.mark.parametrize(
    "step, steps, deviation", [(ours, 50, 0.398), (ours, 10, 0.381), (ordinary, 50, 0.387)]
)
def test_a_step_with_noise_keeps_the_distribution(step, steps, deviation):
    mean, spread_ = sampled(steps, step)
    assert mean == pytest.approx(1.501, abs=0.01)
    assert spread_ == pytest.approx(deviation, abs=0.004)


@pytest.mark.parametrize("sigma", [0.8, 0.4])
def test_the_distribution_is_kept_at_every_sigma_on_the_way(sigma):
    def stopping(x, level, level_next, largest, e):
        return x if level_next < sigma - 1e-6 else ours(x, level, level_next, largest, e)

    mean, spread_ = sampled(400, stopping)
    assert mean == pytest.approx((1 - sigma) * MEAN, abs=0.015)
    wanted = math.hypot((1 - sigma) * DEVIATION, sigma)
    assert spread_ == pytest.approx(wanted, abs=0.015)  # 0.03 at 50 steps: the first ones are rough


def as_printed(x, sigma, sigma_next, largest, e):
    """Equations 6 to 8 of the report with time and velocity of its equation 1: t = 1 is data"""
    t, dt, velocity = 1 - sigma, sigma - sigma_next, -exact_velocity(x, sigma)
    variance = NOISE_LEVEL**2 * t / (1 - t)
    drift = velocity + NOISE_LEVEL**2 / (2 * (1 - t)) * (x + (1 - t) * velocity)
    return x + drift * dt + (variance * dt).sqrt() * e


@pytest.mark.parametrize("steps, mean, deviation", [(50, 3.93, 2.20), (400, 6.63, 3.96)])
def test_the_reports_equations_taken_together_sample_garbage_and_more_of_it_with_more_steps(
    steps, mean, deviation
):
    result = sampled(steps, as_printed)
    assert result == pytest.approx((mean, deviation), abs=0.1)  # the data's: 1.5 and 0.4


def test_the_first_step_takes_the_second_sigma_inside_the_root():
    one, second = torch.tensor(1.0), torch.tensor(0.9)
    assert spread(one, 0.7, second).item() == pytest.approx(0.7 * math.sqrt(0.9 / 0.1))
    assert spread(torch.tensor(0.5), 0.7, second).item() == pytest.approx(0.7)


def test_a_log_probability_is_that_of_torchs_gaussian_averaged():
    x_next, mean, deviation = torch.randn(3, 4, 5), torch.randn(3, 4, 5), torch.tensor(0.3)
    theirs = torch.distributions.Normal(mean, deviation).log_prob(x_next).mean((1, 2))
    torch.testing.assert_close(log_probability(x_next, mean, deviation), theirs)


@pytest.mark.parametrize("levels", [(0.9, 0.7), (0.5, 0.4), (0.02, 0.0)])
def test_the_kl_is_that_of_the_two_transitions(levels):
    sigma, sigma_next = torch.tensor(levels, dtype=torch.float64)
    s = spread(sigma, 0.7, torch.tensor(0.95))
    x, ours_, theirs = (torch.randn(2, 4, 5) for _ in range(3))
    mean, deviation = transition(x, ours_, sigma, sigma_next, s)
    other, _ = transition(x, theirs, sigma, sigma_next, s)
    by_hand = ((mean - other) ** 2 / (2 * deviation**2)).mean((1, 2))
    kl = divergence(ours_, theirs, sigma, sigma_next, s)
    torch.testing.assert_close(kl, by_hand, rtol=1e-4, atol=0, check_dtype=False)


def test_without_noise_a_transition_is_an_euler_step():
    x, velocity = torch.randn(2, 4, 5), torch.randn(2, 4, 5)
    mean, deviation = transition(x, velocity, *torch.tensor([0.6, 0.5, 0.0]))
    torch.testing.assert_close(mean, x - 0.1 * velocity)
    assert deviation == 0

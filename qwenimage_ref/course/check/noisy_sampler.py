"""Chapter 31, the sampler with noise in it: its step, the step's log-probability, and the KL."""

import math

import torch

from ..answers import EX_31_KL, EX_31_LOGP, EX_31_STEP
from .common import demand_shape, exercise, near, need, need_none, need_same, numbers

LEVELS = ((0.8, 0.65), (0.3, 0.1))  # sigma and the next one


def _both_near(a, b) -> bool:
    return all(map(near, a, b))


# --- a step with noise


def _step_cases():
    """x or a velocity, another velocity, sigma, sigma_next, s"""
    for n, levels in enumerate(LEVELS):
        sigma, sigma_next = torch.tensor(levels)
        yield numbers(4, 3, seed=n), numbers(4, 3, seed=9 + n), sigma, sigma_next, torch.tensor(0.6)


@exercise
def ex_31_step(transition) -> str:
    """transition(x, velocity, sigma, sigma_next, s) -> mean (B, D), deviation ()"""
    for case in _step_cases():
        given = transition(*case)
        need(
            isinstance(given, (tuple, list)) and len(given) == 2,
            "give two things: the mean of the next state, and its deviation",
        )
        mean, deviation = given
        demand_shape(mean, (4, 3), "of the means, as x")
        deviation = torch.as_tensor(deviation)
        need(
            bool(torch.isfinite(deviation)),
            "the deviation is no number: sigma falls, so the step is negative; where is a root "
            "taken?",
        )
        need(deviation.shape == (), "the deviation is one number for all dimensions, ()")
        need_none((mean, deviation), _STEP_MISTAKES, _both_near, *case)
        need_same(
            transition, EX_31_STEP, _both_near, case,
            "that is not the step; with velocity 0, what is the mean of a step from x = 1?",
        )  # fmt: skip
    return "noise in, and as much out along the score"


def _stepped(correction, deviation=lambda step, s: s * (-step).sqrt()):
    """A step by rules for what is added to Euler's, and for the deviation"""

    def step_of(x, velocity, sigma, sigma_next, s):
        step = sigma_next - sigma
        mean = x + step * velocity + correction(x, velocity, sigma, step, s)
        return mean, deviation(step, s)

    return step_of


def _right(x, velocity, sigma, step, s):
    return s**2 * step / (2 * sigma) * (x + (1 - sigma) * velocity)


_STEP_MISTAKES = [
    (
        _stepped(lambda x, v, sigma, step, s: 0 * x),
        "noise is added and nothing is taken back, so that the spread grows step by step",
    ),
    (
        _stepped(lambda *given: -_right(*given)),
        "the correction has the wrong sign: it pushes along the noise and not against it",
    ),
    (
        _stepped(lambda *given: 2 * _right(*given)),
        "the correction counts twice; the equation has half a variance",
    ),
    (
        _stepped(lambda x, v, sigma, step, s: s * step / (2 * sigma) * (x + (1 - sigma) * v)),
        "in the correction stands the variance, the square of s",
    ),
    (
        _stepped(lambda x, v, sigma, step, s: s**2 * step / (2 * sigma) * x),
        "the predicted noise is x + (1 - sigma) velocity; you take x alone",
    ),
    (
        _stepped(lambda x, v, sigma, step, s: s**2 * step / 2 * (x + (1 - sigma) * v)),
        "the score is minus the predicted noise divided by sigma; the division is missing",
    ),
    (
        _stepped(lambda x, v, sigma, step, s: s**2 * step / (2 * (1 - sigma)) * (x + sigma * v)),
        "that is the score where time runs from noise to data; here sigma is the level of noise",
    ),
    (
        _stepped(_right, lambda step, s: s * -step),
        "a variance grows with the step; a root is missing",
    ),
    (_stepped(_right, lambda step, s: s**2 * -step), "that is the variance, not the deviation"),
    (_stepped(_right, lambda step, s: s), "the deviation does not depend on the step yet"),
]

# --- the log-probability


@exercise
def ex_31_logp(log_probability) -> str:
    """log_probability(x_next, mean, deviation) -> (B,): the mean over the dimensions"""
    for seed, deviation in ((1, 0.3), (2, 1.7)):
        case = numbers(4, 3, seed=seed), numbers(4, 3, seed=seed + 9), torch.tensor(deviation)
        given = log_probability(*case)
        demand_shape(given, (4,), "(B,), one number a picture")
        need_none(given, _LOGP_MISTAKES, near, *case)
        need_same(
            log_probability, EX_31_LOGP, near, case,
            "that is not the logarithm of a normal density; at x_next = mean and deviation 1 it is "
            "-0.919",
        )  # fmt: skip
    return "of a normal distribution, averaged over its dimensions"


def _density(x, mean, deviation):
    return -((x - mean) / deviation).pow(2) / 2 - deviation.log() - math.log(2 * math.pi) / 2


_LOGP_MISTAKES = [
    (
        lambda *case: _density(*case).sum(1),
        "you add over the dimensions; here, as in flow_grpo, it is their mean",
    ),
    (
        lambda x, mean, deviation: (_density(x, mean, deviation) + deviation.log()).mean(1),
        "the width of the distribution is missing: a narrow one is higher",
    ),
    (
        lambda x, mean, deviation: (_density(x, mean, deviation) + 2 * deviation.log()).mean(1),
        "the wider the distribution, the lower it is; a sign",
    ),
    (
        lambda *case: (_density(*case) + math.log(2 * math.pi) / 2).mean(1),
        "the constant of the normal distribution is missing",
    ),
    (
        lambda *case: (_density(*case) - math.log(2 * math.pi) / 2).mean(1),
        "of the constant only one half belongs here: there is a root in the density",
    ),
    (
        lambda x, mean, deviation: (
            _density(x, mean, deviation) - ((x - mean) / deviation).pow(2) / 2
        ).mean(1),
        "the squared distance is to be halved",
    ),
    (lambda *case: -_density(*case).mean(1), "the sign: near the mean it is larger"),
    (lambda *case: _density(*case).exp().mean(1), "that is the density; take its logarithm"),
]

# --- the KL of two steps


@exercise
def ex_31_kl(divergence) -> str:
    """divergence(velocity, reference, sigma, sigma_next, s) -> (B,): the mean over dimensions"""
    for case in _step_cases():
        given = divergence(*case)
        demand_shape(given, (4,), "(B,), one number a picture")
        need_none(given, _KL_MISTAKES, near, *case)
        need_same(
            divergence, EX_31_KL, near, case,
            "that is not the KL; how far apart are the two means, in deviations of the step?",
        )  # fmt: skip
    return "half the squared distance of the means, in deviations"


def _apart(velocity, reference, sigma, sigma_next, s):
    return (1 + s**2 * (1 - sigma) / (2 * sigma)) * (sigma_next - sigma) * (velocity - reference)


_KL_MISTAKES = [
    (
        lambda v, r, sigma, sigma_next, s: (
            _apart(v, r, sigma, sigma_next, s).pow(2) / (2 * s**2)
        ).mean(1),
        "flow_grpo divides by twice the square of s, too; the variance of a step is that times the "
        "length of the step",
    ),
    (lambda *case: 2 * EX_31_KL(*case), "the half is missing"),
    (
        lambda v, r, sigma, sigma_next, s: (
            ((sigma_next - sigma) * (v - r)).pow(2) / (2 * s**2 * (sigma - sigma_next))
        ).mean(1),
        "the means differ by more than the step times the velocities: the correction has the "
        "velocity, too",
    ),
    (
        lambda v, r, sigma, sigma_next, s: (
            _apart(v, r, sigma, sigma_next, s).pow(2) / (2 * s**2 * (sigma - sigma_next))
        ).sum(1),
        "added up over the dimensions; log-probabilities are means, so this is one, too",
    ),
    (
        lambda v, r, sigma, sigma_next, s: (
            _apart(v, r, sigma, sigma_next, s).pow(2) / (2 * s * (sigma - sigma_next).sqrt())
        ).mean(1),
        "you divide by the deviation; the variance belongs there",
    ),
    (lambda *case: -EX_31_KL(*case), "a KL is never below 0; the step is negative"),
    (
        lambda v, r, sigma, sigma_next, s: (
            _apart(v, r, sigma, sigma_next, s).abs() / (2 * s**2 * (sigma - sigma_next))
        ).mean(1),
        "the distance of the means counts squared",
    ),
]

"""The sampler with noise in it: the same distribution at every sigma, and a probability a step.

    s = a sqrt(sigma / (1 - sigma)),  d = sigma_next - sigma < 0
    mean = x (1 + s^2 d / (2 sigma)) + v (1 + s^2 (1 - sigma) / (2 sigma)) d
    x_next = mean + s sqrt(-d) e,  e normal

Flow-GRPO's equation in the convention of the weights: sigma is the level of noise, v is noise minus
data. The technical report prints it as its equations 6 to 8 beside an equation 1 in which time and
velocity run the other way; taken together as they stand, they sample garbage.
"""

import math

import torch


def spread(sigma, noise_level: float, largest):
    """(), () -> (): s. It has no limit at sigma 1, where that of `largest` stands in."""
    level = torch.minimum(sigma, largest)
    return noise_level * (level / (1 - level)).sqrt()


def transition(x, velocity, sigma, sigma_next, s):
    """(B, I, D), (B, I, D), (), (), () -> (B, I, D), (): mean and deviation of the next state

    In float32 whatever the network's type: log-probabilities differ in their last digits.
    """
    step = sigma_next - sigma
    kept, taken = 1 + s**2 * step / (2 * sigma), 1 + s**2 * (1 - sigma) / (2 * sigma)
    return kept * x.float() + taken * step * velocity.float(), s * (-step).sqrt()


def log_probability(x_next, mean, deviation):
    """(B, I, D), (B, I, D), () -> (B,): of a Gaussian, as flow_grpo the mean over its dimensions"""
    distance = ((x_next - mean) / deviation).pow(2)
    return (-distance / 2 - deviation.log() - math.log(2 * math.pi) / 2).mean((1, 2))


def divergence(velocity, reference, sigma, sigma_next, s):
    """(B, I, D), (B, I, D), (), (), () -> (B,): KL of two transitions, the mean over dimensions

    The report's equation 8. flow_grpo does not divide by -d: its KL, and so its beta, is another.
    """
    factor = (sigma - sigma_next) / 2 * (1 / s + s * (1 - sigma) / (2 * sigma)) ** 2
    return factor * (velocity.float() - reference.float()).pow(2).mean((1, 2))

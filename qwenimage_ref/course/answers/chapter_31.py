"""Chapter 31: reward."""

import math

import torch


def EX_31_STEP(x, velocity, sigma, sigma_next, s):
    """Noise is added, and as much is taken back along the score."""
    step = sigma_next - sigma
    noise = x + (1 - sigma) * velocity  # noise that the velocity predicts
    mean = x + step * velocity + s**2 * step / (2 * sigma) * noise
    return mean, s * (-step).sqrt()


def EX_31_LOGP(x_next, mean, deviation):
    """The mean over the dimensions, so that pictures of any size have ratios of one scale."""
    distance = ((x_next - mean) / deviation).pow(2)
    return (-distance / 2 - deviation.log() - math.log(2 * math.pi) / 2).mean(1)


def EX_31_ADVANTAGES(rewards):
    """How many deviations of its group each reward lies above the group's mean."""
    deviation = rewards.std(correction=0) + 1e-4
    return ((rewards - rewards.mean()) / deviation).clamp(-5, 5)


def EX_31_CLIP(log_p, old_log_p, advantage, clip: float):
    """A ratio that has left its bounds in its own favour gains nothing more."""
    ratio = (log_p - old_log_p).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def EX_31_KL(velocity, reference, sigma, sigma_next, s):
    """Two Gaussians of one deviation: half the squared distance of their means, in deviations."""
    step = sigma_next - sigma
    apart = (1 + s**2 * (1 - sigma) / (2 * sigma)) * step * (velocity - reference)
    return (apart.pow(2) / (2 * s**2 * -step)).mean(1)


SPOILERS = {
    "ex_31_step": {"sqrt"},
    "ex_31_logp": {"pow"},
    "ex_31_advantages": {"clamp", "std"},
    "ex_31_clip": {"minimum", "clamp"},
    "ex_31_kl": {"pow"},
}

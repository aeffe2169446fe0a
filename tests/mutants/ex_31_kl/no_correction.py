"""Euler's means."""


def answer(velocity, reference, sigma, sigma_next, s):
    step = sigma_next - sigma
    apart = step * (velocity - reference)
    return (apart.pow(2) / (2 * s**2 * -step)).mean(1)


HINT = "has the velocity, too"

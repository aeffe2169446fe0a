"""Noise in and nothing out."""


def answer(x, velocity, sigma, sigma_next, s):
    step = sigma_next - sigma
    mean = x + step * velocity
    return mean, s * (-step).sqrt()


HINT = "nothing is taken back"

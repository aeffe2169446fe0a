"""The noise is taken to be x."""


def answer(x, velocity, sigma, sigma_next, s):
    step = sigma_next - sigma
    mean = x + step * velocity + s**2 * step / (2 * sigma) * x
    return mean, s * (-step).sqrt()


HINT = "you take x alone"

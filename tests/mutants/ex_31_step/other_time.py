"""The score of the other convention."""


def answer(x, velocity, sigma, sigma_next, s):
    step = sigma_next - sigma
    noise = x + sigma * velocity
    mean = x + step * velocity + s**2 * step / (2 * (1 - sigma)) * noise
    return mean, s * (-step).sqrt()


HINT = "from noise to data"

"""The score is not divided by sigma."""


def answer(x, velocity, sigma, sigma_next, s):
    step = sigma_next - sigma
    noise = x + (1 - sigma) * velocity
    mean = x + step * velocity + s**2 * step / 2 * noise
    return mean, s * (-step).sqrt()


HINT = "division is missing"

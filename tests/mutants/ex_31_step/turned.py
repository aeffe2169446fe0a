"""Along the noise."""


def answer(x, velocity, sigma, sigma_next, s):
    step = sigma_next - sigma
    noise = x + (1 - sigma) * velocity
    mean = x + step * velocity - s**2 * step / (2 * sigma) * noise
    return mean, s * (-step).sqrt()


HINT = "wrong sign"

"""s in place of its square."""


def answer(x, velocity, sigma, sigma_next, s):
    step = sigma_next - sigma
    noise = x + (1 - sigma) * velocity
    mean = x + step * velocity + s * step / (2 * sigma) * noise
    return mean, s * (-step).sqrt()


HINT = "the square of s"

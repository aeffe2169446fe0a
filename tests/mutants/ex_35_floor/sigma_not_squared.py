"""Divided by sigma outside of the square."""


def answer(points, chances, sigma, noise):
    clean = points[:, None]
    x = (1 - sigma) * clean + sigma * noise
    apart = (x[:, :, None] - (1 - sigma) * points).square().sum(-1)
    posterior = (chances.log() - apart / (2 * sigma**2)).softmax(-1)
    errors = ((clean - posterior @ points).square() / sigma).mean((1, 2))
    return (chances * errors).sum()


HINT = "so is what divides it"

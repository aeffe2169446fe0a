"""Exponentials that are not shifted: 0 / 0 with many numbers."""


def answer(points, chances, sigma, noise):
    clean = points[:, None]
    x = (1 - sigma) * clean + sigma * noise
    apart = (x[:, :, None] - (1 - sigma) * points).square().sum(-1)
    weights = chances * (-apart / (2 * sigma**2)).exp()
    posterior = weights / weights.sum(-1, keepdim=True)
    errors = ((clean - posterior @ points) / sigma).square().mean((1, 2))
    return (chances * errors).sum()


HINT = "is not a number"

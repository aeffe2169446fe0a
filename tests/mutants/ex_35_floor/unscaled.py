"""Distances to the points themselves."""


def answer(points, chances, sigma, noise):
    clean = points[:, None]
    x = (1 - sigma) * clean + sigma * noise
    apart = (x[:, :, None] - points).square().sum(-1)
    posterior = (chances.log() - apart / (2 * sigma**2)).softmax(-1)
    errors = ((clean - posterior @ points) / sigma).square().mean((1, 2))
    return (chances * errors).sum()


HINT = "x lies near (1 - sigma) times"

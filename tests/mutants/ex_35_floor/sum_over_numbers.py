"""The squared length instead of the average."""


def answer(points, chances, sigma, noise):
    clean = points[:, None]
    x = (1 - sigma) * clean + sigma * noise
    apart = (x[:, :, None] - (1 - sigma) * points).square().sum(-1)
    posterior = (chances.log() - apart / (2 * sigma**2)).softmax(-1)
    errors = ((clean - posterior @ points) / sigma).square().sum(2).mean(1)
    return (chances * errors).sum()


HINT = "the loss is an average"

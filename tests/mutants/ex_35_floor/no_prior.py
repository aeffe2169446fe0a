"""Every point as likely before x was seen."""


def answer(points, chances, sigma, noise):
    clean = points[:, None]
    x = (1 - sigma) * clean + sigma * noise
    apart = (x[:, :, None] - (1 - sigma) * points).square().sum(-1)
    posterior = (-apart / (2 * sigma**2)).softmax(-1)
    errors = ((clean - posterior @ points) / sigma).square().mean((1, 2))
    return (chances * errors).sum()


HINT = "Bayes' rule"

"""Chapter 35: a law."""


def EX_35_FLOOR(points, chances, sigma: float, noise):
    """The error of the posterior mean, over sigma squared, averaged over points and noise."""
    clean = points.unsqueeze(1)  # (K, 1, D)
    x = (1 - sigma) * clean + sigma * noise  # (K, M, D)
    apart = (x.unsqueeze(2) - (1 - sigma) * points).square().sum(-1)  # (K, M, K)
    posterior = (chances.log() - apart / (2 * sigma**2)).softmax(-1)
    errors = ((clean - posterior @ points) / sigma).square().mean((1, 2))
    return (chances * errors).sum()


def EX_35_FLOPS(width: int, blocks: int, image_tokens: int, text_tokens: int, pictures: int) -> int:
    """Forward once and backward twice as much; a token meets the matrices of its own stream."""
    S = image_tokens + text_tokens
    matrices = 24 * S * width**2  # q, k, v, out and the MLP: twelve matrices of width x width
    attention = 4 * S**2 * width
    modulation = 24 * width**2  # a vector for each stream, width to six widths
    return 3 * pictures * blocks * (matrices + attention + modulation)


def EX_35_EXCESS(compute, losses, floor: float) -> tuple[float, float]:
    """A straight line through the logarithms of compute and of what is above the floor."""
    x, y = compute.log(), (losses - floor).log()
    centred = x - x.mean()
    slope = (centred * y).sum() / centred.square().sum()
    return (y.mean() - slope * x.mean()).exp().item(), -slope.item()


def EX_35_BEST(curves: dict, budget: float) -> tuple[str, float] | None:
    """Lines between the points of each size, in logarithms; the lowest at the budget."""
    from math import log

    best = None
    for size, points in curves.items():
        for (less, above), (more, below) in zip(points, points[1:]):
            if less <= budget <= more:
                share = log(budget / less) / log(more / less)
                loss = above * (below / above) ** share
                if best is None or loss < best[1]:
                    best = size, loss
    return best


SPOILERS = {
    "ex_35_floor": {"softmax", "unsqueeze", "chances"},
    "ex_35_flops": {"24", "36"},
    "ex_35_excess": {"mean", "square", "exp"},
    "ex_35_best": {"zip", "share"},
}

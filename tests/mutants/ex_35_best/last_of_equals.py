"""The last of two sizes with one loss."""

import math


def answer(curves, budget):
    best = None
    for size, points in curves.items():
        for (less, above), (more, below) in zip(points, points[1:]):
            if less <= budget <= more:
                share = math.log(budget / less) / math.log(more / less)
                loss = above * (below / above) ** share
                if best is None or loss <= best[1]:
                    best = size, loss
    return best


HINT = "give the first"

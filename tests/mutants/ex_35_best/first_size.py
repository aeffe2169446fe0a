"""The first curve that reaches the budget."""

import math


def answer(curves, budget):
    for size, points in curves.items():
        for (less, above), (more, below) in zip(points, points[1:]):
            if less <= budget <= more:
                share = math.log(budget / less) / math.log(more / less)
                loss = above * (below / above) ** share
                return size, loss
    return None


HINT = "it is not"

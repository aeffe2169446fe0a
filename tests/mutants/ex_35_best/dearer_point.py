"""The loss of the first point that costs as much or more."""


def answer(curves, budget):
    best = None
    for size, points in curves.items():
        if points[0][0] <= budget <= points[-1][0]:
            loss = next(loss for compute, loss in points if compute >= budget)
            if best is None or loss < best[1]:
                best = size, loss
    return best


HINT = "that of the more expensive one"

"""The loss of the last point that the budget pays for."""


def answer(curves, budget):
    best = None
    for size, points in curves.items():
        if points[0][0] <= budget <= points[-1][0]:
            loss = [loss for compute, loss in points if compute <= budget][-1]
            if best is None or loss < best[1]:
                best = size, loss
    return best


HINT = "that of the cheaper one"

"""A straight line through the numbers."""


def answer(compute, losses, floor):
    x, y = compute, losses - floor
    centred = x - x.mean()
    slope = (centred * y).sum() / centred.square().sum()
    return (y.mean() - slope * x.mean()).item(), -slope.item()


HINT = "straight in logarithms"

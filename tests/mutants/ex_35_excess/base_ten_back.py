"""Natural logarithms, turned back with ten."""


def answer(compute, losses, floor):
    x, y = compute.log(), (losses - floor).log()
    centred = x - x.mean()
    slope = (centred * y).sum() / centred.square().sum()
    return 10 ** (y.mean() - slope * x.mean()).item(), -slope.item()


HINT = "turned back with base ten"

"""Exponent first."""


def answer(compute, losses, floor):
    x, y = compute.log(), (losses - floor).log()
    centred = x - x.mean()
    slope = (centred * y).sum() / centred.square().sum()
    return -slope.item(), (y.mean() - slope * x.mean()).exp().item()


HINT = "the factor comes first"

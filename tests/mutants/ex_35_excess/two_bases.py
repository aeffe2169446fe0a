"""Logarithms to base ten, turned back with e."""


def answer(compute, losses, floor):
    x, y = compute.log10(), (losses - floor).log10()
    centred = x - x.mean()
    slope = (centred * y).sum() / centred.square().sum()
    return (y.mean() - slope * x.mean()).exp().item(), -slope.item()


HINT = "turned back with base e"

"""Compute as a function of the loss."""


def answer(compute, losses, floor):
    x, y = compute.log(), (losses - floor).log()
    centred = y - y.mean()
    slope = centred.square().sum() / (centred * x).sum()
    return (y.mean() - slope * x.mean()).exp().item(), -slope.item()


HINT = "the loss is what was measured"

"""The factor left as a logarithm."""


def answer(compute, losses, floor):
    x, y = compute.log(), (losses - floor).log()
    centred = x - x.mean()
    slope = (centred * y).sum() / centred.square().sum()
    return (y.mean() - slope * x.mean()).item(), -slope.item()


HINT = "still a logarithm"

"""The slope instead of the exponent."""


def answer(compute, losses, floor):
    x, y = compute.log(), (losses - floor).log()
    centred = x - x.mean()
    slope = (centred * y).sum() / centred.square().sum()
    return (y.mean() - slope * x.mean()).exp().item(), slope.item()


HINT = "the exponent is positive"

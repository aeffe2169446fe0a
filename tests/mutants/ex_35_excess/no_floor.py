"""The floor left in."""


def answer(compute, losses, floor):
    x, y = compute.log(), losses.log()
    centred = x - x.mean()
    slope = (centred * y).sum() / centred.square().sum()
    return (y.mean() - slope * x.mean()).exp().item(), -slope.item()


HINT = "the floor is not subtracted"

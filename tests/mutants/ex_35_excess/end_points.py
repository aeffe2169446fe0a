"""The line through the first and the last point."""


def answer(compute, losses, floor):
    x, y = compute.log(), (losses - floor).log()
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    return (y[0] - slope * x[0]).exp().item(), -slope.item()


HINT = "the first and the last point"

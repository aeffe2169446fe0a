"""A line through the origin."""


def answer(compute, losses, floor):
    x, y = compute.log(), (losses - floor).log()
    return 1.0, -((x * y).sum() / (x * x).sum()).item()


HINT = "a line through the origin"

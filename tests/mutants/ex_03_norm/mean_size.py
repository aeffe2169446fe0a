"""Divides by the mean of the absolute values."""


def answer(x, weight, eps):
    return weight * x / (x.abs().mean(-1, keepdim=True) + eps)


HINT = "divided by the mean of the sizes"

"""Divides by the mean square."""


def answer(x, weight, eps):
    return weight * x / (x.pow(2).mean(-1, keepdim=True) + eps)


HINT = "its root is missing"

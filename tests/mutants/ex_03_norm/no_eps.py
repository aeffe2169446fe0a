"""Leaves eps out."""


def answer(x, weight, eps):
    return weight * x / x.pow(2).mean(-1, keepdim=True).sqrt()


HINT = "eps makes no difference"

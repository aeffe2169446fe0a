"""Divides by the standard deviation."""


def answer(x, weight, eps):
    return weight * x / (x.var(-1, correction=0, keepdim=True) + eps).sqrt()


HINT = "divided by the standard deviation"

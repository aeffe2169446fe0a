"""Divides by the length."""


def answer(x, weight, eps):
    return weight * x / (x.pow(2).sum(-1, keepdim=True) + eps).sqrt()


HINT = "not their sum"

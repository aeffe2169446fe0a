"""Forgets the weight."""


def answer(x, weight, eps):
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


HINT = "the weight is missing"

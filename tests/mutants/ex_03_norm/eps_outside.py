"""Adds eps to the root."""


def answer(x, weight, eps):
    return weight * x / (x.pow(2).mean(-1, keepdim=True).sqrt() + eps)


HINT = "it stands inside"

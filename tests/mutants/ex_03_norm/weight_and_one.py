"""Adds 1 to the weight, as some language models do."""


def answer(x, weight, eps):
    return (1 + weight) * x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()


HINT = "1 is added to the weight"

"""Divides x itself."""


def answer(x, weight, eps):
    return x.mul_(weight / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt())


HINT = "changes its argument x itself"

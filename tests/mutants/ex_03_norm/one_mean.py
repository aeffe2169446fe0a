"""One mean for all tokens."""


def answer(x, weight, eps):
    return weight * x / (x.pow(2).mean() + eps).sqrt()


HINT = "one mean for everything"

"""A mean over the tokens."""


def answer(x, weight, eps):
    return weight * x / (x.pow(2).mean(1, keepdim=True) + eps).sqrt()


HINT = "the mean runs over the tokens"

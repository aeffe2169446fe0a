"""Leaves the rotation out."""


def answer(x, heads, weight, rotation):
    x = x.unflatten(-1, (heads, -1))
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight


HINT = "not rotated to their places"

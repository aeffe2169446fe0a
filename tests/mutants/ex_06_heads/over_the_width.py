"""Normalises before it cuts."""

from qwenimage_ref.rope import rotate


def answer(x, heads, weight, rotation):
    x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    return rotate(x.unflatten(-1, (heads, -1)) * weight, rotation)


HINT = "each head has its own"

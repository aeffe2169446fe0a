"""Divides by the length."""

from qwenimage_ref.rope import rotate


def answer(x, heads, weight, rotation):
    x = x.unflatten(-1, (heads, -1))
    x = x / (x.pow(2).sum(-1, keepdim=True) + 1e-6).sqrt() * weight
    return rotate(x, rotation)


HINT = "divide each head by the root of its mean square"

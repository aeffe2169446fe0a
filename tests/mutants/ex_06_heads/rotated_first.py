"""Rotates before the norm."""

from qwenimage_ref.rope import rotate


def answer(x, heads, weight, rotation):
    x = rotate(x.unflatten(-1, (heads, -1)), rotation)
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight


HINT = "the two do not commute"

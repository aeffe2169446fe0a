"""Adds 1e-6 to the root."""

from qwenimage_ref.rope import rotate


def answer(x, heads, weight, rotation):
    x = x.unflatten(-1, (heads, -1))
    x = x / (x.pow(2).mean(-1, keepdim=True).sqrt() + 1e-6) * weight
    return rotate(x, rotation)


HINT = "before the root"

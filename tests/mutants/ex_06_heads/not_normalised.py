"""Leaves the norm out."""

from qwenimage_ref.rope import rotate


def answer(x, heads, weight, rotation):
    return rotate(x.unflatten(-1, (heads, -1)), rotation)


HINT = "not normalised before"

"""Cuts every H-th number into a head."""

from qwenimage_ref.rope import rotate


def answer(x, heads, weight, rotation):
    x = x.unflatten(-1, (-1, heads)).transpose(-1, -2).contiguous()
    x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight
    return rotate(x, rotation)


HINT = "the heads take turns"

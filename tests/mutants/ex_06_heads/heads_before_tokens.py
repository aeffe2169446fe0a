"""Puts heads before tokens."""

from qwenimage_ref.rope import rotate


def answer(x, heads, weight, rotation):
    x = x.unflatten(-1, (heads, -1))
    x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight
    return rotate(x, rotation).transpose(1, 2)


HINT = "of shape (B, S, H, K)"

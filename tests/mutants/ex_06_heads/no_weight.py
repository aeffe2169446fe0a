"""Has no weight."""

from qwenimage_ref.rope import rotate


def answer(x, heads, weight, rotation):
    x = x.unflatten(-1, (heads, -1))
    x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    return rotate(x, rotation)


HINT = "the weight of the norm is missing"

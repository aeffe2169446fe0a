"""Takes sine for cosine."""

import torch


def answer(x, angle):
    a, b = x[:, 0::2], x[:, 1::2]
    c, s = angle.cos(), angle.sin()
    return torch.stack([a * s - b * c, a * c + b * s], dim=-1).flatten(-2)


HINT = "a hand that is not turned stays"

"""Takes LayerNorm."""

import torch

from qwenimage_ref.rope import rotate


def answer(x, heads, weight, rotation):
    x = x.unflatten(-1, (heads, -1))
    x = torch.nn.functional.layer_norm(x, weight.shape, eps=1e-6) * weight
    return rotate(x, rotation)


HINT = "subtracts no mean"

"""A LayerNorm."""

import torch.nn.functional as F


def answer(x, weight, eps):
    return weight * F.layer_norm(x, x.shape[-1:], eps=eps)


HINT = "the mean of the numbers is subtracted"

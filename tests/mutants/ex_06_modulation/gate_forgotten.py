"""Has no gate."""

import torch.nn.functional as F


def answer(x, shift, scale, gate, part):
    normed = F.layer_norm(x, x.shape[-1:], eps=1e-6)
    return x + part(normed * (1 + scale) + shift)


HINT = "has to come out untouched"

"""Hides rows and columns of the padding."""

import torch.nn.functional as F


def answer(q, k, v, real):
    seen = F.pad(real, (0, k.shape[2] - real.shape[1]), value=True)
    mask = seen[:, None, :, None] & seen[:, None, None]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


HINT = "hide its keys"

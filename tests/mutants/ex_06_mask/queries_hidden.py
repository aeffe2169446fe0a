"""Hides the rows of the padding instead of its columns."""

import torch.nn.functional as F


def answer(q, k, v, real):
    seen = F.pad(real, (0, k.shape[2] - real.shape[1]), value=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, :, None])


HINT = "hide its keys"

"""Fills the places of the image with false."""

import torch.nn.functional as F


def answer(q, k, v, real):
    seen = F.pad(real, (0, k.shape[2] - real.shape[1]), value=False)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None])


HINT = "tokens of the image are not looked at"

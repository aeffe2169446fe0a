"""Appends the text to the image."""

import torch.nn.functional as F


def answer(q, k, v, real):
    seen = F.pad(real, (k.shape[2] - real.shape[1], 0), value=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None])


HINT = "it comes first"

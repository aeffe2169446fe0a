"""Hides what is padding in every prompt."""

import torch.nn.functional as F


def answer(q, k, v, real):
    seen = F.pad(real, (0, k.shape[2] - real.shape[1]), value=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen.any(0)[None, None, None])


HINT = "padding of its own"

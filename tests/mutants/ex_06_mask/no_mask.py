"""Looks at everything."""

import torch.nn.functional as F


def answer(q, k, v, real):
    return F.scaled_dot_product_attention(q, k, v)


HINT = "padding is still looked at"

"""Uses the padding of the first prompt for all."""

import torch.nn.functional as F


def answer(q, k, v, real):
    seen = F.pad(real, (0, k.shape[2] - real.shape[1]), value=True)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:1, None, None])


HINT = "of the second prompt"

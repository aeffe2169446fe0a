"""Makes the keys of the padding zero."""

import torch.nn.functional as F


def answer(q, k, v, real):
    seen = F.pad(real, (0, k.shape[2] - real.shape[1]), value=True)
    k = k * seen[:, None, :, None]
    return F.scaled_dot_product_attention(q, k, v)


HINT = "gets a share"

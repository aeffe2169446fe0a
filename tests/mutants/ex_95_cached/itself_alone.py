"""What was stored is not used."""

import torch.nn.functional as F

from qwenimage_ref.mmdit import layer_norm
from qwenimage_ref.rope import rotate


def answer(block, x, modulation, rotation, before):
    scale, gate, scale2, gate2 = modulation
    attn, heads = block.attn, before[0].shape[2]
    normed = layer_norm(x) * (1 + scale)
    projections = (attn.to_q, attn.to_k, attn.to_v)
    q, k, v = (to(normed).unflatten(-1, (heads, -1)) for to in projections)
    q, k = rotate(attn.norm_q(q), rotation), rotate(attn.norm_k(k), rotation)
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    x = x + gate.tanh() * attn.to_out(out)
    return x + gate2.tanh() * block.img_mlp(layer_norm(x) * (1 + scale2))


HINT = "sees itself alone"

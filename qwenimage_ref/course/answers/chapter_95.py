"""Chapter 95: what Qwen-Image-2.1 changed."""

import torch
import torch.nn.functional as F


def EX_95_VISIBLE(layout: list) -> torch.Tensor:
    """Tokens before it, and its own image: block-causal."""
    sizes = [part if isinstance(part, int) else part[0] * part[1] for part in layout]
    mask = torch.ones(sum(sizes), sum(sizes), dtype=torch.bool).tril()
    first = 0
    for part, size in zip(layout, sizes):
        if not isinstance(part, int):
            mask[first : first + size, first : first + size] = True
        first += size
    return mask


def EX_95_SAVED(conditions: int, target: int, steps: int) -> float:
    """Work is proportional to the tokens that ask; the first step computes them all."""
    whole = steps * (conditions + target)
    return whole / (conditions + steps * target)


def EX_95_CACHED(block, x, modulation, rotation, before):
    """The target's own queries; keys and values of all, those of the conditions as stored."""
    from qwenimage_ref.mmdit import layer_norm
    from qwenimage_ref.rope import rotate

    scale, gate, scale2, gate2 = modulation
    attn, heads = block.attn, before[0].shape[2]
    normed = layer_norm(x) * (1 + scale)
    q, k, v = (to(normed).unflatten(-1, (heads, -1)) for to in (attn.to_q, attn.to_k, attn.to_v))
    q, k = rotate(attn.norm_q(q), rotation), rotate(attn.norm_k(k), rotation)
    k, v = torch.cat([before[0], k], dim=1), torch.cat([before[1], v], dim=1)
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    x = x + gate.tanh() * attn.to_out(out)
    return x + gate2.tanh() * block.img_mlp(layer_norm(x) * (1 + scale2))


SPOILERS = {
    "ex_95_visible": {"tril", "True"},
    "ex_95_saved": {"conditions + steps"},
    "ex_95_cached": {"cat", "flatten"},
}

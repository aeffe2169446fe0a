"""Chapter 06: one MMDiT block."""

import torch
import torch.nn.functional as F

from ...rope import rotate


def EX_06_MODULATION(x, shift, scale, gate, part):
    """(B, S, D), 3 x (B, 1, D), part (B, S, D) -> (B, S, D): one modulated, gated residual."""
    normed = F.layer_norm(x, x.shape[-1:], eps=1e-6)
    return x + gate * part(normed * (1 + scale) + shift)


def EX_06_HEADS(x, heads, weight, rotation):
    """(B, S, D), H, (K,), (S, K / 2) -> (B, S, H, K): cut into heads, normalised, rotated."""
    x = x.unflatten(-1, (heads, -1))
    x = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight
    return rotate(x, rotation)


def EX_06_JOINT(txt, img):
    """(q, k, v) of T and of I tokens, (B, T or I, H, K) -> (B, T, D), (B, I, D)"""
    q, k, v = (torch.cat(pair, dim=1) for pair in zip(txt, img))
    logits = torch.einsum("bshk,brhk->bhsr", q, k) / q.shape[-1] ** 0.5
    merged = torch.einsum("bhsr,brhk->bshk", logits.softmax(-1), v).flatten(2)
    T = txt[0].shape[1]
    return merged[:, :T], merged[:, T:]


def EX_06_MASK(q, k, v, real):
    """3 x (B, H, T + I, K), real (B, T) -> (B, H, T + I, K): nobody looks at padding."""
    image_tokens = k.shape[2] - real.shape[1]
    seen = F.pad(real, (0, image_tokens), value=True)  # (B, T + I), text first
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    logits = logits.masked_fill(~seen[:, None, None, :], -torch.inf)
    return logits.softmax(-1) @ v


def EX_06_BLOCK(block, img, txt, temb, img_rotation, txt_rotation):
    """(B, I, D), (B, T, D), (B, 1, D), two rotations -> (B, I, D), (B, T, D): a whole block."""
    attn, H = block.attn, block.attn.heads
    img_shift, img_scale, img_gate, *img_rest = block.img_mod(temb)
    txt_shift, txt_scale, txt_gate, *txt_rest = block.txt_mod(temb)
    x = F.layer_norm(img, img.shape[-1:], eps=1e-6) * (1 + img_scale) + img_shift
    y = F.layer_norm(txt, txt.shape[-1:], eps=1e-6) * (1 + txt_scale) + txt_shift
    img_q = EX_06_HEADS(attn.to_q(x), H, attn.norm_q.weight, img_rotation)
    txt_q = EX_06_HEADS(attn.add_q_proj(y), H, attn.norm_added_q.weight, txt_rotation)
    img_k = EX_06_HEADS(attn.to_k(x), H, attn.norm_k.weight, img_rotation)
    txt_k = EX_06_HEADS(attn.add_k_proj(y), H, attn.norm_added_k.weight, txt_rotation)
    img_v, txt_v = (v.unflatten(-1, (H, -1)) for v in (attn.to_v(x), attn.add_v_proj(y)))
    txt_out, img_out = EX_06_JOINT((txt_q, txt_k, txt_v), (img_q, img_k, img_v))
    img = img + img_gate * attn.to_out(img_out)
    txt = txt + txt_gate * attn.to_add_out(txt_out)
    img = EX_06_MODULATION(img, *img_rest, block.img_mlp)
    txt = EX_06_MODULATION(txt, *txt_rest, block.txt_mlp)
    return img, txt


SPOILERS = {
    "ex_06_modulation": {"layer_norm", "normed", "part"},
    "ex_06_heads": {"unflatten", "keepdim", "sqrt"},
    "ex_06_joint": {"einsum", "cat", "flatten"},
    "ex_06_block": {"norm_added_q", "norm_added_k", "to_add_out"},
    "ex_06_mask": {"masked_fill", "inf", "infinity", "pad", "None"},
}

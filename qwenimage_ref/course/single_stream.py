"""The transformer of Qwen-Image-2.1, as far as chapter 95 needs it: one stream, cached conditions.

Text, condition images and the target stand in one sequence, the target at its end. A layout says
how: [5, (4, 6), 3, (8, 8)] is 5 text tokens, an image of 4 rows and 6 columns, 3 text tokens, the
target. Names and order are those of the released weights. Source: diffusers 0.42.1,
`transformer_qwenimage21.py`, against which a test compares all that is here.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..mmdit import RMSNorm, layer_norm
from ..rope import rotate, rotations

Layout = list[int | tuple[int, int]]
AXES = (16, 56, 56)  # head dims that turn with frame, row and column, of 128


def lengths(layout: Layout) -> list[int]:
    """Tokens of each part of the sequence"""
    return [part if isinstance(part, int) else math.prod(part) for part in layout]


def visible(layout: Layout) -> torch.Tensor:
    """-> (S, S), true where a token (row) may see another: those before it, and its own image"""
    number = torch.repeat_interleave(torch.tensor(lengths(layout)))  # (S,) the part of each token
    image = torch.tensor([not isinstance(part, int) for part in layout])[number]
    at = torch.arange(len(number))
    same_image = (number.unsqueeze(1) == number) & image
    return (at.unsqueeze(1) >= at) | same_image


def positions(layout: Layout) -> torch.Tensor:
    """-> (S, 3): text counts on along the diagonal; an image is centred, its frame stands still"""
    rows_of, at = [], 0
    for part in layout:
        if isinstance(part, int):
            rows_of.append(torch.arange(at, at + part).unsqueeze(1).repeat(1, 3))
            at += part
        else:
            rows, cols = part
            axes = [torch.arange(size) - (size - size // 2) for size in (rows, cols)]
            rows_of.append(torch.cartesian_prod(torch.tensor([at]), *axes))
            at += max(rows, cols)
    return torch.cat(rows_of)


class Attention(nn.Module):
    """(B, S, D) -> (B, S, D), and keys and values of these tokens (B, S, H, K)"""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_k = nn.Linear(dim, dim, bias=False)
        self.to_v = nn.Linear(dim, dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim, bias=False))
        self.norm_q = RMSNorm(dim // heads)
        self.norm_k = RMSNorm(dim // heads)

    def forward(self, x, rotation, mask=None, before=None):
        """before: keys and values of tokens in front of these, which all of these see"""
        q, k, v = (
            to(x).unflatten(-1, (self.heads, -1)) for to in (self.to_q, self.to_k, self.to_v)
        )
        q, k = rotate(self.norm_q(q), rotation), rotate(self.norm_k(k), rotation)
        own = k, v
        if before is not None:
            k, v = torch.cat([before[0], k], dim=1), torch.cat([before[1], v], dim=1)
        q, k, v = (each.transpose(1, 2) for each in (q, k, v))  # (B, H, S, K)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.to_out(out.transpose(1, 2).flatten(2)), own


class SwiGLU(nn.Module):
    """(B, S, D) -> (B, S, D) through 3 D, gated, without biases"""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(3 * dim, dim, bias=False)
        self.gate_layer = nn.Linear(dim, 3 * dim, bias=False)

    def forward(self, x):
        return self.out(F.silu(self.gate_layer(x)) * self.proj(x))


class Block(nn.Module):
    """(B, S, D), four of (B, S, D) -> (B, S, D), keys and values"""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.attn = Attention(dim, heads)
        self.img_mlp = SwiGLU(dim)

    def forward(self, x, modulation, rotation, mask=None, before=None):
        scale, gate, scale2, gate2 = modulation
        out, own = self.attn(layer_norm(x) * (1 + scale), rotation, mask, before)
        x = x + gate.tanh() * out
        return x + gate2.tanh() * self.img_mlp(layer_norm(x) * (1 + scale2)), own


class TimestepEmbedder(nn.Module):
    """(B, R) -> (B, R, D), as in mmdit.py but without biases"""

    def __init__(self, dim: int):
        super().__init__()
        self.linear_1 = nn.Linear(256, dim, bias=False)
        self.linear_2 = nn.Linear(dim, dim, bias=False)

    def forward(self, sigma):
        exponents = -math.log(10000) * torch.arange(128, device=sigma.device).float() / 128
        angle = 1000 * sigma.unsqueeze(-1) * torch.exp(exponents)
        return self.linear_2(F.silu(self.linear_1(torch.cat([angle.cos(), angle.sin()], dim=-1))))


class ZeroCentredNorm(nn.Module):
    """(B, T, Dt) -> (B, T, Dt); a weight of 0 changes nothing: the file holds the factor less 1"""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))

    def forward(self, txt):
        return F.rms_norm(txt, txt.shape[-1:], self.weight + 1, eps=1e-6)


class TextProjection(nn.Module):
    """(B, T, Dt) -> (B, T, D)"""

    def __init__(self, text_dim: int, dim: int):
        super().__init__()
        self.text_norm = ZeroCentredNorm(text_dim)
        self.in_layer = nn.Linear(text_dim, dim, bias=False)
        self.out_layer = nn.Linear(dim, dim, bias=False)

    def forward(self, txt):
        return self.out_layer(F.gelu(self.in_layer(self.text_norm(txt)), approximate="tanh"))


class SingleStream(nn.Module):
    """The parts of a sequence and a noise level to the target's velocity."""

    def __init__(self, dim=4096, heads=32, layers=32, text_dim=4096, channels=64, axes=AXES):
        super().__init__()
        self.axes = axes
        self.time_text_embed = nn.ModuleDict({"timestep_embedder": TimestepEmbedder(dim)})
        self.txt_in = TextProjection(text_dim, dim)
        self.img_in = nn.Linear(channels, dim, bias=False)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(dim, 4 * dim, bias=False))
        self.transformer_blocks = nn.ModuleList(Block(dim, heads) for _ in range(layers))
        self.norm_out = nn.ModuleDict({"linear": nn.Linear(dim, dim, bias=False)})
        self.proj_out = nn.Linear(dim, channels, bias=False)

    def forward(self, parts, layout, sigma, kept=None, causal=True, clean=True):
        """[(B, n, Dt or C), ...], their layout, (B,) -> (B, I, C), what a later step may keep

        parts: text states and packed latents, one for each part of the layout, the target last.
        kept: keys and values of all tokens before the target, from an earlier step; parts then
        holds the target alone. causal, clean: block-causal mask, and time 0 for all but the target,
        as released; without both of them nothing may be kept.
        """
        *conditions, target = lengths(layout)
        first = 0 if kept is None else sum(conditions)
        kinds = layout[-len(parts) :]
        embed = [self.txt_in if isinstance(kind, int) else self.img_in for kind in kinds]
        x = torch.cat([into(part) for into, part in zip(embed, parts)], dim=1)  # (B, S, D)
        rotation = rotations(positions(layout)[first:].to(x.device), self.axes)
        mask = visible(layout).to(x.device) if causal and kept is None else None

        rows = torch.stack([sigma, torch.zeros_like(sigma) if clean else sigma], dim=1)
        temb = self.time_text_embed["timestep_embedder"](rows)  # (B, 2, D)
        times = (torch.arange(x.shape[1], device=x.device) < x.shape[1] - target).long()
        modulation = self.modulation(temb)[:, times].chunk(4, dim=-1)
        own = []
        for i, block in enumerate(self.transformer_blocks):
            before = None if kept is None else kept[i]
            x, (k, v) = block(x, modulation, rotation, mask, before)
            own.append((k[:, :-target], v[:, :-target]))
        scale = self.norm_out["linear"](F.silu(temb[:, :1]))
        velocity = self.proj_out(layer_norm(x[:, -target:]) * (1 + scale))
        return velocity, own if kept is None else kept

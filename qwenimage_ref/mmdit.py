"""The diffusion transformer: two streams, image and text, that meet in joint attention."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from .config import MMDiTConfig
from .rope import positions, rotate, rotations


class RMSNorm(nn.Module):
    """(..., D) -> (..., D)"""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        # float32: a bf16 mean of squares has two digits; cast to the weight's type as upstream does
        x = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return x.to(self.weight.dtype) * self.weight


def layer_norm(x):
    """(..., D) -> (..., D), without scale and shift: modulation brings those"""
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def modulate(x, shift, scale):
    """(B, S, D), (B, 1 or S, D), (B, 1 or S, D) -> (B, S, D)"""
    return layer_norm(x) * (1 + scale) + shift


class TimestepEmbedder(nn.Module):
    """(B, R) -> (B, R, D): R noise levels a picture to the vectors that modulate every block"""

    def __init__(self, dim: int):
        super().__init__()
        self.linear_1 = nn.Linear(256, dim)
        self.linear_2 = nn.Linear(dim, dim)

    def forward(self, sigma):
        exponents = -math.log(10000) * torch.arange(128, device=sigma.device).float() / 128
        angle = 1000 * (sigma.float().unsqueeze(-1) * torch.exp(exponents))  # (B, R, 128)
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1).to(sigma.dtype)  # (B, R, 256)
        return self.linear_2(F.silu(self.linear_1(waves)))


class TimeTextEmbed(nn.Module):
    """(B, R) -> (B, R, D). Despite its official name no text enters here."""

    def __init__(self, dim: int, additional_row: bool):
        super().__init__()
        self.timestep_embedder = TimestepEmbedder(dim)
        if additional_row:
            self.addition_t_embedding = nn.Embedding(2, dim)
        self.additional_row = additional_row

    def forward(self, sigma):
        temb = self.timestep_embedder(sigma)
        # Layered adds the row for "RGBA", number 0
        return temb + self.addition_t_embedding.weight[0] if self.additional_row else temb


class Modulation(nn.Sequential):
    """(B, R, D) -> 6 x (B, R, D): shift, scale, gate for attention, then for the MLP"""

    def __init__(self, dim: int):
        super().__init__(nn.SiLU(), nn.Linear(dim, 6 * dim))

    def forward(self, temb, times=None):
        """`times` (I,) says which of the R rows each token uses; None: the only one."""
        rows = super().forward(temb)
        return (rows if times is None else rows[:, times]).chunk(6, dim=-1)


class GELUProjection(nn.Module):
    """(B, S, D) -> (B, S, 4D). Not gated, whatever its name `net.0.proj` suggests."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Linear(dim, 4 * dim)

    def forward(self, x):
        return F.gelu(self.proj(x), approximate="tanh")


class MLP(nn.Module):
    """(B, S, D) -> (B, S, D)"""

    def __init__(self, dim: int):
        super().__init__()
        # careful: the middle place is a dropout upstream, and makes the second linear `net.2`
        self.net = nn.Sequential(GELUProjection(dim), nn.Identity(), nn.Linear(4 * dim, dim))

    def forward(self, x):
        return self.net(x)


class JointAttention(nn.Module):
    """(B, I, D), (B, T, D) -> (B, I, D), (B, T, D): every token sees every token of both streams"""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        # careful: this is upstream's order of registration; shards and index files are cut by it
        self.norm_q = RMSNorm(dim // heads)
        self.norm_k = RMSNorm(dim // heads)
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.add_k_proj = nn.Linear(dim, dim)
        self.add_v_proj = nn.Linear(dim, dim)
        self.add_q_proj = nn.Linear(dim, dim)
        self.to_out = nn.Sequential(nn.Linear(dim, dim))
        self.to_add_out = nn.Linear(dim, dim)
        self.norm_added_q = RMSNorm(dim // heads)
        self.norm_added_k = RMSNorm(dim // heads)

    def forward(self, img, txt, img_rotation, txt_rotation, mask=None):
        img_q, img_k, img_v = map(self._heads, (self.to_q(img), self.to_k(img), self.to_v(img)))
        txt_q, txt_k, txt_v = map(
            self._heads, (self.add_q_proj(txt), self.add_k_proj(txt), self.add_v_proj(txt))
        )  # (B, S, H, K)
        img_q, img_k = self.norm_q(img_q), self.norm_k(img_k)
        txt_q, txt_k = self.norm_added_q(txt_q), self.norm_added_k(txt_k)
        img_q, img_k = rotate(img_q, img_rotation), rotate(img_k, img_rotation)
        txt_q, txt_k = rotate(txt_q, txt_rotation), rotate(txt_k, txt_rotation)

        q = torch.cat([txt_q, img_q], dim=1).transpose(1, 2)  # (B, H, T + I, K), text first
        k = torch.cat([txt_k, img_k], dim=1).transpose(1, 2)
        v = torch.cat([txt_v, img_v], dim=1).transpose(1, 2)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out = rearrange(out, "b h s k -> b s (h k)")
        # careful: contiguous slices, or the matrix product takes another kernel and the last bit
        T = txt.shape[1]
        return self.to_out(out[:, T:].contiguous()), self.to_add_out(out[:, :T].contiguous())

    def _heads(self, x):
        return x.unflatten(-1, (self.heads, -1))


class Block(nn.Module):
    """(B, I, D), (B, T, D), (B, R, D) -> (B, I, D), (B, T, D)"""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        # careful: upstream's order of registration
        self.img_mod = Modulation(dim)
        self.attn = JointAttention(dim, heads)
        self.img_mlp = MLP(dim)
        self.txt_mod = Modulation(dim)
        self.txt_mlp = MLP(dim)

    def forward(self, img, txt, temb, img_rotation, txt_rotation, mask=None, times=None):
        img_shift, img_scale, img_gate, img_shift2, img_scale2, img_gate2 = self.img_mod(
            temb, times
        )
        txt_shift, txt_scale, txt_gate, txt_shift2, txt_scale2, txt_gate2 = self.txt_mod(
            temb[:, :1]
        )

        img_out, txt_out = self.attn(
            modulate(img, img_shift, img_scale),
            modulate(txt, txt_shift, txt_scale),
            img_rotation,
            txt_rotation,
            mask,
        )
        img = img + img_gate * img_out
        txt = txt + txt_gate * txt_out

        img = img + img_gate2 * self.img_mlp(modulate(img, img_shift2, img_scale2))
        txt = txt + txt_gate2 * self.txt_mlp(modulate(txt, txt_shift2, txt_scale2))
        return img, txt


class FinalNorm(nn.Module):
    """(B, I, D), (B, 1, D) -> (B, I, D)"""

    def __init__(self, dim: int):
        super().__init__()
        self.linear = nn.Linear(dim, 2 * dim)

    def forward(self, img, temb):
        # careful: (scale, shift) here, (shift, scale, gate) in the blocks
        scale, shift = self.linear(F.silu(temb)).chunk(2, dim=-1)
        return modulate(img, shift, scale)


def visible(txt_mask, mask, image_tokens: int):
    """(B, T) or None, (B, 1, S, S) or None -> what attention may see; None: all tokens see all"""
    if txt_mask is None:
        return mask
    real = F.pad(txt_mask, (0, image_tokens), value=True)[:, None, None]  # (B, 1, 1, S)
    return real if mask is None else real & mask


class Call(NamedTuple):
    """The arguments of one forward pass of the MMDiT."""

    img: torch.Tensor
    txt: torch.Tensor
    sigma: torch.Tensor
    grids: list[tuple]
    txt_mask: torch.Tensor | None = None
    after_block: Callable | None = None
    mask: torch.Tensor | None = None
    txt_positions: torch.Tensor | None = None
    img_positions: torch.Tensor | None = None


class MMDiT(nn.Module):
    """Packed noisy latents, text states and noise level to the velocity noise - data."""

    def __init__(self, config: MMDiTConfig):
        super().__init__()
        self.config = config
        dim, heads = config.inner_dim, config.num_attention_heads
        # careful: upstream's order of registration
        self.time_text_embed = TimeTextEmbed(dim, config.use_additional_t_cond)
        self.txt_norm = RMSNorm(config.joint_attention_dim)
        self.img_in = nn.Linear(config.in_channels, dim)
        self.txt_in = nn.Linear(config.joint_attention_dim, dim)
        self.transformer_blocks = nn.ModuleList(Block(dim, heads) for _ in range(config.num_layers))
        self.norm_out = FinalNorm(dim)
        self.proj_out = nn.Linear(dim, config.in_channels)

    def forward(
        self, img, txt, sigma, grids, txt_mask=None, after_block=None, mask=None,
        txt_positions=None, img_positions=None,
    ):  # fmt: skip
        """(B, I, 64), (B, T, Dt), (B,) -> (B, I_target, 64)

        img: packed latents of the target grid, then of the condition images.
        txt: text states; txt_mask (B, T), true where a token is real, only if some are padding.
        sigma: noise level in [0, 1], 1 is pure noise. grids: [(frames, rows, cols), ...] in tokens.
        after_block(i, img_target) -> img_target sees and may change the target after block i.
        mask: (B, 1, S, S), true where a token (row) may see another (column), text first.
        txt_positions (T, 3), img_positions (I, 3): in place of those that MSRoPE gives.
        """
        own = txt_positions, img_positions
        return self.many([(img, txt, sigma, grids, txt_mask, after_block, mask, *own)])[0]

    def many(self, calls: list) -> list[torch.Tensor]:
        """Answers to several calls, tuples of forward's arguments, from one pass over the blocks

        Texts and grids may differ in length from call to call.
        """
        calls = [Call(*call) for call in calls]
        embedded = [self.embed(*call[:5], *call[6:]) for call in calls]
        streams, shared = [(img, txt) for img, txt, _ in embedded], [each for *_, each in embedded]
        targets = [math.prod(call.grids[0]) for call in calls]
        for i, block in enumerate(self.transformer_blocks):
            for n, call in enumerate(calls):
                img, txt = block(*streams[n], *shared[n])
                if call.after_block is not None:
                    changed = call.after_block(i, img[:, : targets[n]])
                    img = torch.cat([changed, img[:, targets[n] :]], dim=1)
                streams[n] = img, txt
        ends = zip(streams, targets, shared)
        return [self.velocity(img[:, :target], each) for (img, _), target, each in ends]

    def embed(self, img, txt, sigma, grids, txt_mask=None, mask=None, *own):
        """Both streams embedded, and what all blocks share; own: positions, as in `forward`

        -> img (B, I, D), txt (B, T, D), (temb (B, R, D), (I, K/2), (T, K/2), mask or None, times)
        """
        target = math.prod(grids[0])
        img_rotation, txt_rotation = self.rotations(grids, txt.shape[1], img.device, *own)
        times, temb = self.times(sigma.to(img.dtype), target, img.shape[1])
        shared = (temb, img_rotation, txt_rotation, visible(txt_mask, mask, img.shape[1]), times)
        return self.img_in(img), self.txt_in(self.txt_norm(txt)), shared

    def velocity(self, img, shared):
        """The target's tokens behind the blocks (B, I, D) -> their velocity (B, I, 64)"""
        temb, *_ = shared
        return self.proj_out(self.norm_out(img, temb[:, :1]))

    def rotations(self, grids, text_length, device="cpu", txt_positions=None, img_positions=None):
        """Grids, T -> (I, K/2), (T, K/2) complex"""
        img, txt = positions(grids, text_length, self.config.use_layer3d_rope)
        txt = txt if txt_positions is None else txt_positions
        img = img if img_positions is None else img_positions
        axes = self.config.axes_dims_rope
        return rotations(img.to(device), axes), rotations(txt.to(device), axes)

    def times(self, sigma, target: int, total: int):
        """(B,) -> (I,) or None, (B, R, D): the time row of each image token, and the rows"""
        if not self.config.zero_cond_t:
            return None, self.time_text_embed(sigma.unsqueeze(1))
        # Edit-2511: condition images are clean, so their tokens have time 0
        rows = torch.stack([sigma, torch.zeros_like(sigma)], dim=1)
        times = (torch.arange(total, device=sigma.device) >= target).long()
        return times, self.time_text_embed(rows)

"""The Qwen2.5-VL vision tower, and how a picture becomes its input.

A picture is cut into 14x14 patches; every 2x2 block of them ends as one token of the language
tower. Most blocks attend inside windows of 4x4 such tokens, four of the 32 over the whole picture,
and never from one picture to another. Blocks work in window order; the last line undoes it.

Letters: N patches of all pictures together, D width, H heads, K head width.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from PIL import Image
from torch import nn

from .config import ConfigError, VisionConfig

MIN_PIXELS = 56 * 56  # below, a picture is enlarged
MAX_PIXELS = 12_845_056  # above, it is shrunk: 16,384 language tokens
LONGEST_ASPECT = 200  # ratio of the longer to the shorter side
MEAN = (0.48145466, 0.4578275, 0.40821073)  # red, green and blue, in [0, 1]
STD = (0.26862954, 0.26130258, 0.27577711)


# -- from a picture to patches --------------------------------------------------------------------


def fit_size(height: int, width: int, factor: int = 28) -> tuple[int, int]:
    """The nearest (height, width) in multiples of `factor` that the tower accepts, aspect kept.

    Raises ValueError where one side is more than 200 times the other (upstream's limit).
    """
    if max(height, width) > LONGEST_ASPECT * min(height, width):
        raise ValueError(f"sides must be at most 1:200, got {width}x{height} pixels")
    # careful: Python rounds halves to even (70 / 28 = 2.5 becomes 2), and so does upstream
    rows, cols = round(height / factor), round(width / factor)
    pixels = rows * cols * factor**2
    if pixels > MAX_PIXELS:
        shrink = math.sqrt(height * width / MAX_PIXELS)
        rows = max(1, math.floor(height / shrink / factor))
        cols = max(1, math.floor(width / shrink / factor))
    elif pixels < MIN_PIXELS:
        grow = math.sqrt(MIN_PIXELS / (height * width))
        rows, cols = math.ceil(height * grow / factor), math.ceil(width * grow / factor)
    return rows * factor, cols * factor


def to_rgb(img: Image.Image) -> Image.Image:
    """Any PIL picture as RGB, transparency laid over white."""
    if "A" not in img.getbands() and img.info.get("transparency") is None:
        return img.convert("RGB")
    white = Image.new("RGBA", img.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, img.convert("RGBA")).convert("RGB")


def resize_pil(img: Image.Image, height: int, width: int) -> torch.Tensor:
    """RGB picture -> (3, height, width), normalised: PIL's bicubic filter, then [0, 1]."""
    resized = np.asarray(img.resize((width, height), Image.Resampling.BICUBIC))
    pixels = torch.tensor(resized).permute(2, 0, 1).double() / 255
    # careful: upstream divides in float64 and normalises in float32; the last bit depends on it
    return (pixels.float() - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def resize_uint8(img: Image.Image, height: int, width: int) -> torch.Tensor:
    """RGB picture -> (3, height, width), normalised: bicubic on the bytes, as released configs ask.

    At most one grey level from `resize_pil`.
    """
    pixels = torch.tensor(np.asarray(img)).permute(2, 0, 1)
    resized = F.interpolate(pixels[None], (height, width), mode="bicubic", antialias=True)[0]
    mean, std = 255 * torch.tensor(MEAN).view(3, 1, 1), 255 * torch.tensor(STD).view(3, 1, 1)
    return (resized.float() - mean) / std


def cut_patches(pixels: torch.Tensor, config: VisionConfig) -> torch.Tensor:
    """(3, height, width) -> (N, 1176): one row a patch, four rows in a row for one merged token.

    Rows are ordered by 2x2 block, then inside the block; within a row by channel, time, y, x. The
    tower reads two frames at a time, so a still picture is shown twice.
    """
    frames = pixels.expand(config.temporal_patch_size, *pixels.shape)
    return rearrange(
        frames,
        "t c (rows my y) (cols mx x) -> (rows cols my mx) (c t y x)",
        my=config.spatial_merge_size,
        mx=config.spatial_merge_size,
        y=config.patch_size,
        x=config.patch_size,
    )


def preprocess(img: Image.Image, config: VisionConfig, resize=resize_uint8):
    """PIL picture -> (N, 1176), (1, rows, cols): patches and their grid, as `Vision` wants them.

    `resize` is `resize_uint8` (what released processor configs name) or `resize_pil`.
    """
    height, width = fit_size(img.height, img.width, config.patch_size * config.spatial_merge_size)
    pixels = resize(to_rgb(img), height, width)
    grid = (1, height // config.patch_size, width // config.patch_size)
    return cut_patches(pixels, config), grid


# -- where each patch is --------------------------------------------------------------------------


def pictures(grids) -> list[tuple[int, int]]:
    """[(frames, rows, cols), ...] -> [(rows, cols), ...]: frames do not see each other either."""
    return [(rows, cols) for frames, rows, cols in grids for _ in range(frames)]


def windows(grids, config: VisionConfig) -> list[torch.Tensor]:
    """[(frames, rows, cols), ...] -> one index tensor a window, over the merged tokens.

    Windows in raster order, tokens in raster order inside; those at the right and lower edge are
    smaller where the picture does not fill them.
    """
    merge = config.spatial_merge_size
    side = config.window_size // (config.patch_size * merge)  # merged tokens: 4
    token_lists, start = [], 0
    for rows, cols in pictures(grids):
        h, w = rows // merge, cols // merge
        tokens = start + torch.arange(h * w).view(h, w)
        for row in range(0, h, side):
            for col in range(0, w, side):
                token_lists.append(tokens[row : row + side, col : col + side].flatten())
        start += h * w
    return token_lists


def coordinates(grids, config: VisionConfig) -> torch.Tensor:
    """[(frames, rows, cols), ...] -> (N, 2): row and column of every patch, in the order of rows
    that `cut_patches` gives."""
    merge, places_of_grids = config.spatial_merge_size, []
    for rows, cols in pictures(grids):
        row, col = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
        place = torch.stack([row, col], dim=-1)
        places_of_grids.append(rearrange(place, "(h y) (w x) rc -> (h w y x) rc", y=merge, x=merge))
    return torch.cat(places_of_grids)


def angles(place: torch.Tensor, head_dim: int) -> torch.Tensor:
    """(N, 2) -> (N, K/2): a quarter of the head's dims turn by the row, a quarter by the column."""
    half = head_dim // 2
    frequency = 1.0 / 10000 ** (torch.arange(0, half, 2, dtype=torch.float32) / half)
    return (place[..., None].float() * frequency.to(place.device)).flatten(1)


def rotate(x: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """(..., N, K), (N, K/2) -> (..., N, K): dim i turns with dim i + K/2, in float32."""
    a, b = x.float().chunk(2, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x.dtype)


# -- the tower ------------------------------------------------------------------------------------


class RMSNorm(nn.Module):
    """(N, D) -> (N, D)"""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        # float32: in bf16 the sum of 1280 squares is too coarse; the weight then meets x's own type
        unit = x.float() * torch.rsqrt(x.float().square().mean(-1, keepdim=True) + 1e-6)
        return self.weight * unit.to(x.dtype)


class PatchEmbed(nn.Module):
    """(N, 1176) -> (N, D): one patch fills the whole kernel, so the convolution is a product."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        kernel = (config.temporal_patch_size, config.patch_size, config.patch_size)
        self.proj = nn.Conv3d(3, config.hidden_size, kernel, stride=kernel, bias=False)

    def forward(self, patches):
        weight = self.proj.weight
        return F.linear(patches.to(weight.dtype), weight.flatten(1))


class Attention(nn.Module):
    """(N, D) -> (N, D): every patch attends to those of its own part, in both directions."""

    def __init__(self, dim: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x, angle, lengths):
        qkv = rearrange(self.qkv(x), "N (qkv H K) -> qkv 1 H N K", qkv=3, H=self.num_heads)
        q, k, v = rotate(qkv[0], angle), rotate(qkv[1], angle), qkv[2]
        parts = zip(q.split(lengths, -2), k.split(lengths, -2), v.split(lengths, -2))
        y = torch.cat([F.scaled_dot_product_attention(*part) for part in parts], dim=-2)
        return self.proj(rearrange(y, "1 H N K -> N (H K)"))


class MLP(nn.Module):
    """(N, D) -> (N, D): one projection, gated by another."""

    def __init__(self, dim: int, inner: int):
        super().__init__()
        self.gate_proj = nn.Linear(dim, inner)
        self.up_proj = nn.Linear(dim, inner)
        self.down_proj = nn.Linear(inner, dim)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """(N, D) -> (N, D)"""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.norm1 = RMSNorm(config.hidden_size)
        self.norm2 = RMSNorm(config.hidden_size)
        self.attn = Attention(config.hidden_size, config.num_heads)
        self.mlp = MLP(config.hidden_size, config.intermediate_size)

    def forward(self, x, angle, lengths):
        x = x + self.attn(self.norm1(x), angle, lengths)
        return x + self.mlp(self.norm2(x))


class Merger(nn.Module):
    """(N, D) -> (N/4, D of the language tower): the four patches of a 2x2 block side by side."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        wide = config.hidden_size * config.spatial_merge_size**2
        self.ln_q = RMSNorm(config.hidden_size)
        self.mlp = nn.Sequential(
            nn.Linear(wide, wide),
            nn.GELU(),  # careful: the exact one; the MMDiT uses the tanh approximation
            nn.Linear(wide, config.out_hidden_size),
        )

    def forward(self, x):
        wide = self.mlp[0].in_features
        return self.mlp(self.ln_q(x).view(-1, wide))


class Vision(nn.Module):
    """Patches of pictures to tokens for the language tower (stored under `visual.`)."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        if config.hidden_size % (4 * config.num_heads):
            raise ConfigError(
                f"hidden_size {config.hidden_size} must be a multiple of 4 times num_heads "
                f"{config.num_heads}: row and column each turn pairs of dims"
            )
        self.config = config
        self.patch_embed = PatchEmbed(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.merger = Merger(config)

    def forward(self, patches, grids):
        """(N, 1176), [(frames, rows, cols), ...] -> (N/4, D), D of the language tower

        Pictures follow one another in `patches`, as `preprocess` cuts them; rows and cols count
        patches and are even. Tokens come out in reading order.
        """
        config, device = self.config, patches.device
        check_grids(patches, grids, config)
        merged = config.spatial_merge_size**2
        token_lists = windows(grids, config)
        order = torch.cat(token_lists).to(device)
        in_window = [merged * len(tokens) for tokens in token_lists]
        in_picture = [rows * cols for rows, cols in pictures(grids)]

        angle = angles(
            coordinates(grids, config).to(device), config.hidden_size // config.num_heads
        )
        angle = angle.unflatten(0, (-1, merged))[order].flatten(0, 1)
        x = self.patch_embed(patches)
        x = x.unflatten(0, (-1, merged))[order].flatten(0, 1)
        for i, block in enumerate(self.blocks):
            x = block(x, angle, in_picture if i in config.fullatt_block_indexes else in_window)
        return self.merger(x)[order.argsort()]


def check_grids(patches: torch.Tensor, grids, config: VisionConfig) -> None:
    """Raises ValueError where `patches` and `grids` do not describe the same pictures."""
    merge = config.spatial_merge_size
    for _, rows, cols in grids:
        if rows % merge or cols % merge:
            raise ValueError(
                f"a grid's sides must be multiples of {merge}, got {rows}x{cols} patches"
            )
    expected = sum(frames * rows * cols for frames, rows, cols in grids)
    if len(patches) != expected:
        raise ValueError(f"patches must be {expected} for the grids {grids}, got {len(patches)}")

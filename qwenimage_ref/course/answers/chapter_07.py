"""Chapter 07: sixty blocks."""

import torch
import torch.nn.functional as F

from ...rope import positions, rotations


def EX_07_PATCHIFY(latents):
    """(B, C, h, w) -> (B, I, 4C): each 2x2 patch a token, in the order (channel, row, col)."""
    B, C, h, w = latents.shape
    patches = latents.reshape(B, C, h // 2, 2, w // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def EX_07_UNPATCHIFY(tokens, rows, cols):
    """(B, I, 4C) -> (B, C, h, w), with I = rows * cols: the inverse"""
    B, _, width = tokens.shape
    patches = tokens.reshape(B, rows, cols, width // 4, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).flatten(4).flatten(2, 3)


def EX_07_TIME(sigma, linear_1, linear_2):
    """(B,), two linear layers 256 -> D -> D -> (B, D)"""
    speeds = 10000 ** -(torch.arange(128) / 128)
    angle = 1000 * torch.outer(sigma, speeds)  # (B, 128)
    waves = torch.cat([angle.cos(), angle.sin()], dim=1)
    return linear_2(F.silu(linear_1(waves)))


def EX_07_END(img, temb, linear, proj_out):
    """(B, I, D), (B, 1, D), linear D -> 2D, proj_out D -> 4C -> (B, I, 4C)"""
    scale, shift = linear(F.silu(temb)).chunk(2, dim=-1)
    normed = F.layer_norm(img, img.shape[-1:], eps=1e-6)
    return proj_out(normed * (1 + scale) + shift)


def EX_07_MMDIT(mmdit, latents, txt_states, sigma):
    """(B, C, h, w), (B, T, Dt), (B,) -> (B, C, h, w): the velocity of one picture each"""
    rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
    img = mmdit.img_in(EX_07_PATCHIFY(latents))
    txt = mmdit.txt_in(mmdit.txt_norm(txt_states))
    embedder = mmdit.time_text_embed.timestep_embedder
    temb = EX_07_TIME(sigma, embedder.linear_1, embedder.linear_2).unsqueeze(1)
    places = positions([(1, rows, cols)], txt.shape[1])
    img_rotation, txt_rotation = (rotations(pos, mmdit.config.axes_dims_rope) for pos in places)
    for block in mmdit.transformer_blocks:
        img, txt = block(img, txt, temb, img_rotation, txt_rotation)
    tokens = EX_07_END(img, temb, mmdit.norm_out.linear, mmdit.proj_out)
    return EX_07_UNPATCHIFY(tokens, rows, cols)


def EX_07_TENSOR(file, name: str):
    """Eight bytes, the header, the data: seek, read, widen bf16 to float32, shape."""
    import json
    import struct

    import numpy as np

    with open(file, "rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        entry = json.loads(opened.read(length))[name]
        start, stop = entry["data_offsets"]
        opened.seek(8 + length + start)
        content = opened.read(stop - start)
    if entry["dtype"] == "BF16":  # the upper half of a float32
        numbers = (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        numbers = np.frombuffer(content, "<f4")
    return numbers.reshape(entry["shape"])


SPOILERS = {
    "ex_07_patchify": {"permute", "rearrange", "reshape", "unfold"},
    "ex_07_unpatchify": {"permute", "rearrange", "reshape"},
    "ex_07_time": {"outer", "cat", "silu"},
    "ex_07_end": {"silu", "chunk", "layer_norm"},
    "ex_07_mmdit": {"txt_norm", "transformer_blocks", "norm_out", "unsqueeze"},
    "ex_07_tensor": {"frombuffer", "unpack", "seek", "uint32", "shift"},
}

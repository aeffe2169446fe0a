# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 · Sixty blocks: second variants
#
# ## Some rows of a tensor
#
# ★★★☆☆ · 15 minutes
#
# Write `load_rows(file, name, first, last)`: rows `first` to `last - 1` of a tensor of float32 or
# float16 in a safetensors file, as a NumPy array of float32. Use `struct`, `json` and NumPy alone,
# and read none of the tensor's other rows.

# %% tags=["solution"] exercise="ex_07_tensor"
def load_rows(file, name, first, last):
    """Rows first to last - 1 of a tensor in a safetensors file, as float32."""
    ### BEGIN SOLUTION
    import json
    import struct

    import numpy as np

    with open(file, "rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        entry = json.loads(opened.read(length))[name]
        rows, *rest = entry["shape"]
        start, stop = entry["data_offsets"]
        row = (stop - start) // rows
        opened.seek(8 + length + start + first * row)
        content = opened.read((last - first) * row)
    kind = {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]
    return np.frombuffer(content, kind).reshape(last - first, *rest).astype(np.float32)
    ### END SOLUTION


# %% tags=["test"] points=3
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

generator = torch.Generator().manual_seed(0)
tensors = {"a": torch.randn(3, generator=generator), "b": torch.randn(6, 2, 5, generator=generator)}
folder = tempfile.TemporaryDirectory()
file = Path(folder.name, "some.safetensors")
save_file(tensors | {"c": tensors["b"].half()}, file)
assert load_rows(file, "b", 1, 3).shape == (2, 2, 5)
### BEGIN HIDDEN TESTS
for name in ("a", "b", "c"):
    expected = tensors["b" if name == "c" else name]
    expected = expected.half().float() if name == "c" else expected
    for first, last in ((0, 1), (1, 3), (0, 3)):
        rows = load_rows(file, name, first, last)
        assert rows.dtype == "float32"
        assert torch.equal(torch.tensor(rows), expected[first:last]), (name, first, last)
### END HIDDEN TESTS

# %% [markdown]
# ## Larger patches
#
# ★★☆☆☆ · 10 minutes
#
# Write `patchify(latents, size)`, from `(B, C, h, w)` to `(B, I, size * size * C)`, for patches of
# `size` rows and columns. The tokens run along the rows of the grid. Within a token, all channels
# of the first pixel come first, then those of the pixel to its right, and so on in reading order.


# %% tags=["solution"] exercise="ex_07_patchify"
def patchify(latents, size):
    """(B, C, h, w) -> (B, I, size * size * C)"""
    ### BEGIN SOLUTION
    B, C, h, w = latents.shape
    patches = latents.reshape(B, C, h // size, size, w // size, size)
    return patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

latents = torch.arange(2 * 3 * 6 * 9).view(2, 3, 6, 9)
assert patchify(latents, 3).shape == (2, 6, 27)
### BEGIN HIDDEN TESTS
tokens = patchify(latents, 3)
for row in range(2):
    for col in range(3):
        patch = latents[:, :, 3 * row : 3 * row + 3, 3 * col : 3 * col + 3]
        pixels = [patch[:, :, y, x] for y in range(3) for x in range(3)]
        assert torch.equal(tokens[:, 3 * row + col], torch.cat(pixels, dim=1))
assert torch.equal(patchify(latents, 1), latents.flatten(2).transpose(1, 2))
### END HIDDEN TESTS

# %% [markdown]
# ## Larger patches and back
#
# ★★☆☆☆ · 10 minutes
#
# Write the inverse, `unpatchify(tokens, rows, cols, size)`, from `(B, I, size * size * C)` to
# `(B, C, h, w)`, for tokens in the order of the exercise before.


# %% tags=["solution"] exercise="ex_07_unpatchify"
def unpatchify(tokens, rows, cols, size):
    """(B, I, size * size * C) -> (B, C, h, w)"""
    ### BEGIN SOLUTION
    B, _, width = tokens.shape
    patches = tokens.reshape(B, rows, cols, size, size, width // size**2)
    return patches.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

tokens = torch.arange(2 * 6 * 27).view(2, 6, 27)
assert unpatchify(tokens, 2, 3, 3).shape == (2, 3, 6, 9)
### BEGIN HIDDEN TESTS
latents = unpatchify(tokens, 2, 3, 3)
for row in range(6):
    for col in range(9):
        pixel = 3 * (3 * (row % 3) + col % 3)
        token = tokens[:, 3 * (row // 3) + col // 3]
        assert torch.equal(latents[:, :, row, col], token[:, pixel : pixel + 3])
### END HIDDEN TESTS

# %% [markdown]
# ## Another time embedding
#
# ★★☆☆☆ · 10 minutes
#
# Write `time_embedding(sigma, linear_1, linear_2, pairs)` for `pairs` angles instead of 128: angle
# `i` is `1000 * sigma * 10000 ** (-i / (pairs - 1))`, so that the last speed is exactly 1/10000.
# All sines come first, then all cosines; the activation between the two layers is SiLU.


# %% tags=["solution"] exercise="ex_07_time"
def time_embedding(sigma, linear_1, linear_2, pairs):
    """(B,), 2 * pairs -> D, D -> D -> (B, D)"""
    ### BEGIN SOLUTION
    import torch

    speeds = 10000 ** -(torch.arange(pairs) / (pairs - 1))
    angle = 1000 * sigma[:, None] * speeds
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)
    return linear_2(torch.nn.functional.silu(linear_1(waves)))
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

torch.manual_seed(0)
layers = torch.nn.Linear(8, 5), torch.nn.Linear(5, 5)
sigma = torch.tensor([0.1, 0.75, 1.0])
assert time_embedding(sigma, *layers, 4).shape == (3, 5)
### BEGIN HIDDEN TESTS
import math

for row, level in zip(time_embedding(sigma, *layers, 4), sigma.tolist()):
    angle = [1000 * level * 10000 ** (-i / 3) for i in range(4)]
    waves = torch.tensor([*map(math.sin, angle), *map(math.cos, angle)])
    inner = layers[0](waves)
    assert torch.allclose(row, layers[1](inner * inner.sigmoid()), atol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# ## Another end
#
# ★★☆☆☆ · 10 minutes
#
# Write `leave(img, temb, linear, proj_out)` for a transformer whose last norm is an **RMSNorm**
# without weights, with 1e-6 under the root, and whose linear layer of SiLU of `temb` gives the
# *shift* first and the *scale* second.


# %% tags=["solution"] exercise="ex_07_end"
def leave(img, temb, linear, proj_out):
    """(B, I, D), (B, 1, D), D -> 2D, D -> out -> (B, I, out)"""
    ### BEGIN SOLUTION
    import torch

    shift, scale = linear(torch.nn.functional.silu(temb)).chunk(2, dim=-1)
    normed = img / (img.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
    return proj_out(normed * (1 + scale) + shift)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

torch.manual_seed(0)
img, temb = 1 + torch.randn(2, 3, 6), torch.randn(2, 1, 6)
layers = torch.nn.Linear(6, 12), torch.nn.Linear(6, 4)
assert leave(img, temb, *layers).shape == (2, 3, 4)
### BEGIN HIDDEN TESTS
both = layers[0](temb * temb.sigmoid())
normed = torch.nn.functional.rms_norm(img, (6,), eps=1e-6)
right = layers[1](normed + normed * both[..., 6:] + both[..., :6])
assert torch.allclose(leave(img, temb, *layers), right, atol=1e-5)
### END HIDDEN TESTS

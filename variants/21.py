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
# # 21 · Precision: second variants
#
# ## The other eight bits
#
# ★★☆☆☆ · 10 minutes
#
# The format *e5m2* has a sign, five bits of exponent with bias 15, and two bits of fraction. The
# largest exponent means infinity where the fraction is 0, and no number otherwise; the smallest
# means subnormal numbers. Write `decode(byte)`.

# %% tags=["solution"] exercise="ex_21_fp8"
def decode(byte):
    """0 to 255 -> float"""
    ### BEGIN SOLUTION
    sign = -1.0 if byte >> 7 else 1.0
    exponent, fraction = byte >> 2 & 31, byte & 3
    if exponent == 31:
        return float("nan") if fraction else sign * float("inf")
    if exponent == 0:
        return sign * 2.0**-14 * fraction / 4
    return sign * 2.0 ** (exponent - 15) * (1 + fraction / 4)
    ### END SOLUTION


# %% tags=["test"] points=2
assert decode(0b0_01111_00) == 1.0
### BEGIN HIDDEN TESTS
import torch

right = torch.arange(256, dtype=torch.uint8).view(torch.float8_e5m2).float()
given = torch.tensor([decode(byte) for byte in range(256)])
assert torch.equal(given.isnan(), right.isnan())
assert torch.equal(given[~right.isnan()], right[~right.isnan()])
### END HIDDEN TESTS

# %% [markdown]
# ## A block with a minimum
#
# ★★★☆☆ · 15 minutes
#
# A block of *Q4_1* has 20 bytes: two float16 numbers, the scale `d` and the minimum `m`, then
# sixteen bytes with the 32 quantised numbers `q`, halves in the order of Q4_0. A weight is `d * q +
# m`. Write `decode_block(block)`, the 32 weights.


# %% tags=["solution"] exercise="ex_21_q4"
def decode_block(block):
    """20 bytes -> 32 floats"""
    ### BEGIN SOLUTION
    import struct

    d, m = struct.unpack("<ee", block[:4])
    lower = [byte & 15 for byte in block[4:]]
    upper = [byte >> 4 for byte in block[4:]]
    return [d * q + m for q in lower + upper]
    ### END SOLUTION


# %% tags=["test"] points=3
import struct

block = struct.pack("<ee", 0.5, -2.0) + bytes(range(0, 256, 16))
assert len(decode_block(block)) == 32
### BEGIN HIDDEN TESTS
assert list(decode_block(block)) == [-2.0] * 16 + [0.5 * q - 2.0 for q in range(16)]
mixed = struct.pack("<ee", 0.25, 1.5) + bytes((i * 37 + 5) % 256 for i in range(16))
values = [(i * 37 + 5) % 256 for i in range(16)]
right = [0.25 * (x % 16) + 1.5 for x in values] + [0.25 * (x // 16) + 1.5 for x in values]
assert list(decode_block(mixed)) == right
### END HIDDEN TESTS

# %% [markdown]
# ## Eight bits times eight
#
# ★★★★☆ · 25 minutes
#
# Write `multiply(x, rows)` for weights in *Q8_0*: `rows` is (out, 34 · in / 32) bytes, each block a
# float16 `d` and 32 signed bytes q. The inputs `x` (N, in) are quantised by **rows**: one scale for
# each row, its largest magnitude over 127, kept in float32. Sum the products of each block in
# integers, then scale. Return (N, out) in float32; a row of zeros gives zeros.


# %% tags=["solution"] exercise="ex_21_multiply"
def multiply(x, rows):
    """(N, in), (out, 34 in / 32) -> (N, out)"""
    ### BEGIN SOLUTION
    import torch

    blocks = rows.unflatten(1, (-1, 34))
    d = blocks[..., :2].view(torch.float16)[..., 0].float()
    q = blocks[..., 2:].view(torch.int8).int()
    scale = x.abs().amax(1, keepdim=True) / 127
    whole = (x / torch.where(scale > 0, scale, 1.0)).round().int().unflatten(1, (-1, 32))
    sums = torch.einsum("nbi,obi->nob", whole, q)
    return scale * torch.einsum("nob,ob->no", sums.float(), d)
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

from qwenimage_ref.formats import gguf_blocks

source = torch.Generator().manual_seed(0)
x, weight = torch.randn(3, 96, generator=source), torch.randn(5, 96, generator=source)
rows = gguf_blocks.encode(weight, "Q8_0")
assert multiply(x, rows).shape == (3, 5)
### BEGIN HIDDEN TESTS
x[:, 32:64] *= 20
x[2] = 0
largest = x.abs().amax(1, keepdim=True).clamp(min=1e-9)
rounded = (127 * x / largest).round() * largest / 127
right = rounded.double() @ gguf_blocks.decode(rows, "Q8_0").double().T
before = x.clone()
given = multiply(x, rows)
assert given.dtype == torch.float32 and torch.equal(x, before)
assert torch.allclose(given.double(), right, atol=2e-5 * right.abs().max().item())
assert given[2].eq(0).all()
### END HIDDEN TESTS

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
# # 28 · Outliers: second variants
#
# ## Sylvester's rotation
#
# ★★★☆☆ · 15 minutes
#
# Sylvester's matrix has one row and one column with a 1 in it for size 1. That of size 2 n has, in
# the place of its upper left, upper right and lower left quarter, the matrix of size n, and in the
# lower right the same with all signs turned. Write `rotated_inputs(x, size)`: x is (batch, in), and
# every `size` neighbouring inputs are multiplied by this matrix, divided so that lengths are kept.

# %% tags=["solution"] exercise="ex_28_rotate"
def rotated_inputs(x, size):
    """(batch, in), a power of two that divides it -> (batch, in)"""
    ### BEGIN SOLUTION
    import torch

    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        above = torch.cat([matrix, matrix], dim=1)
        below = torch.cat([matrix, -matrix], dim=1)
        matrix = torch.cat([above, below])
    return ((x.unflatten(1, (-1, size)) @ matrix) / size**0.5).flatten(1)
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

assert torch.allclose(rotated_inputs(torch.ones(1, 4), 4), torch.tensor([[2.0, 0, 0, 0]]))
### BEGIN HIDDEN TESTS
x = torch.randn(3, 24, generator=torch.Generator().manual_seed(0))
assert torch.allclose(rotated_inputs(rotated_inputs(x, 8), 8), x, atol=1e-5)
turned = rotated_inputs(x, 2)
assert torch.allclose(turned[:, 0], (x[:, 0] + x[:, 1]) / 2**0.5, atol=1e-6)
assert torch.allclose(turned[:, 1], (x[:, 0] - x[:, 1]) / 2**0.5, atol=1e-6)
assert rotated_inputs(torch.ones(1, 24), 8).count_nonzero() == 3
### END HIDDEN TESTS

# %% [markdown]
# ## Four bits without a sign
#
# ★★☆☆☆ · 10 minutes
#
# A format has numbers of four bits without a sign: two bits of exponent with bias 1, then two bits
# of fraction; subnormals as usual, nothing infinite. Write `unsigned(packed, scale)`: `packed`
# holds bytes of two numbers, torch.uint8, the first in the *lower* half, `scale` is one number for
# all.


# %% tags=["solution"] exercise="ex_28_nvfp4"
def unsigned(packed, scale):
    """(n / 2,), a number -> (n,)"""
    ### BEGIN SOLUTION
    import torch

    codes = torch.stack([packed & 15, packed >> 4], dim=-1).flatten()
    exponent, fraction = (codes >> 2).float(), (codes & 3) / 4
    return scale * torch.where(exponent == 0, fraction, 2 ** (exponent - 1) * (1 + fraction))
    ### END SOLUTION


# %% tags=["test"] points=2
from torch import tensor, uint8

assert unsigned(tensor([0x40], dtype=uint8), 1.0).tolist() == [0.0, 1.0]
### BEGIN HIDDEN TESTS
assert unsigned(tensor([0x21, 0xF7], dtype=uint8), 2.0).tolist() == [0.5, 1.0, 3.5, 14.0]
### END HIDDEN TESTS

# %% [markdown]
# ## Words
#
# ★★★★☆ · 20 minutes
#
# Lengths of the words of a code are given, 0 for symbols that do not occur. Write `words(lengths)`:
# a list of texts of 0 and 1, empty for symbols that do not occur. Shorter words come first, equally
# long ones in the order of their symbols; the first is all zeros, and each is the one before plus
# one, with zeros behind it where it is longer.


# %% tags=["solution"] exercise="ex_28_huffman"
def words(lengths):
    """[bits of each symbol] -> [its word]"""
    ### BEGIN SOLUTION
    order = sorted((n, symbol) for symbol, n in enumerate(lengths) if n)
    given, code, before = [""] * len(lengths), 0, 0
    for n, symbol in order:
        code <<= n - before
        given[symbol] = f"{code:0{n}b}"
        code, before = code + 1, n
    return given
    ### END SOLUTION


# %% tags=["test"] points=4
assert words([1, 2, 2]) == ["0", "10", "11"]
### BEGIN HIDDEN TESTS
assert words([2, 0, 1, 3, 3]) == ["10", "", "0", "110", "111"]
assert words([3, 3, 2, 2, 2]) == ["110", "111", "00", "01", "10"]
### END HIDDEN TESTS

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
# # 05 · MSRoPE: second variants
#
# ## The other convention
#
# ★★☆☆☆ · 10 minutes
#
# Many language models pair number `i` of a head with number `i + K/2`, not with its neighbour.
# Write `turn(x, angle)`, `(S, K)` and `(S, K/2)` to `(S, K)`, in that convention.

# %% tags=["solution"] exercise="ex_05_rotate"
def turn(x, angle):
    """(S, K), (S, K/2) -> (S, K)"""
    ### BEGIN SOLUTION
    import torch

    a, b = x.chunk(2, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

x = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
angle = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
assert turn(x, angle).shape == (5, 8)
### BEGIN HIDDEN TESTS
before = x.clone()
z = torch.complex(x[:, :4], x[:, 4:]) * torch.polar(torch.ones_like(angle), angle)
assert torch.allclose(turn(x, angle), torch.cat([z.real, z.imag], -1), atol=1e-5)
assert torch.equal(x, before), "x stays as it is"
### END HIDDEN TESTS

# %% [markdown]
# ## The odd row on the other side
#
# ★★☆☆☆ · 10 minutes
#
# Write `places(rows, cols)`: the row numbers, the column numbers and the first place of the text,
# for a grid that is centred as in the chapter but whose odd row or column lies on the **positive**
# side, so that five rows are -2, -1, 0, 1, 2 and four are -2, -1, 0, 1. The text begins one place
# beyond the largest number of either side.


# %% tags=["solution"] exercise="ex_05_odd"
def places(rows, cols):
    """rows, cols -> list of rows, list of columns, first place of the text"""
    ### BEGIN SOLUTION
    across = [place - cols // 2 for place in range(cols)]
    down = [place - rows // 2 for place in range(rows)]
    return down, across, max(*down, *across) + 1
    ### END SOLUTION


# %% tags=["test"] points=2
assert places(4, 4) == ([-2, -1, 0, 1], [-2, -1, 0, 1], 2)
### BEGIN HIDDEN TESTS
assert places(5, 2) == ([-2, -1, 0, 1, 2], [-1, 0], 3)
assert places(1, 7) == ([0], [-3, -2, -1, 0, 1, 2, 3], 4)
### END HIDDEN TESTS

# %% [markdown]
# ## Differences in the other convention
#
# ★★★☆☆ · 15 minutes
#
# Write `relative(q, k, gap)`, `(S, K)`, `(R, K)` and `(S, R, K/2)` to `(S, R)`, the products of
# rotated queries and keys, where number `i` is paired with number `i + K/2` and `gap` is the angle
# at the **query's** position minus that at the key's.


# %% tags=["solution"] exercise="ex_05_relative"
def relative(q, k, gap):
    """(S, K), (R, K), (S, R, K/2) -> (S, R)"""
    ### BEGIN SOLUTION
    a, b = q[:, None].chunk(2, dim=-1)
    c, d = k[None].chunk(2, dim=-1)
    cos, sin = gap.cos(), gap.sin()
    return ((a * cos - b * sin) * c + (a * sin + b * cos) * d).sum(-1)
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

draw = torch.Generator().manual_seed(0)
q, k = torch.randn(4, 6, generator=draw), torch.randn(5, 6, generator=draw)
assert relative(q, k, torch.zeros(4, 5, 3)).shape == (4, 5)
### BEGIN HIDDEN TESTS
angle = 2 * torch.randn(9, 3, generator=draw)


def turned(x, angle):
    return torch.complex(x[:, :3], x[:, 3:]) * torch.polar(torch.ones_like(angle), angle)


right = (turned(q, angle[:4])[:, None] * turned(k, angle[4:]).conj()).real.sum(-1)
gap = angle[:4, None] - angle[None, 4:]
assert torch.allclose(relative(q, k, gap), right, atol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# ## Coordinates that take turns
#
# ★★★☆☆ · 15 minutes
#
# In another model the three coordinates take turns: pair `i` of a head turns with coordinate `i`
# modulo 3, and its speed is `theta ** (-2i / K)` for the whole head. Write `angles(pos, K, theta)`,
# `(S, 3)` to `(S, K/2)`.


# %% tags=["solution"] exercise="ex_05_angles"
def angles(pos, K, theta):
    """(S, 3) -> (S, K/2)"""
    ### BEGIN SOLUTION
    import torch

    pairs = torch.arange(K // 2)
    return pos[:, pairs % 3] * theta ** (-2 * pairs / K)
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

pos = torch.tensor([[0, -3, 5], [1, 2, -7]])
assert angles(pos, 10, 100.0).shape == (2, 5)
### BEGIN HIDDEN TESTS
right = [[place[i % 3] * 100.0 ** (-2 * i / 10) for i in range(5)] for place in pos.tolist()]
assert torch.allclose(angles(pos, 10, 100.0), torch.tensor(right), atol=1e-5)
assert torch.allclose(angles(pos, 2, 7.0), pos[:, :1].float())
### END HIDDEN TESTS

# %% [markdown]
# ## Positions of layers
#
# ★★★★☆ · 25 minutes
#
# Write `layered_positions(layers, rows, cols, text_length)` for a picture that is decomposed into
# `layers` layers of one size: their tokens come first, with frames 0, 1, 2, …, then those of the
# picture itself, of the same size, with frame −1. All are centred as in the chapter. The text runs
# along the diagonal from `start` on, which is half of the longer side, rounded down, or the number
# of layers, whichever is larger. Return `(I, 3)` and `(T, 3)`.


# %% tags=["solution"] exercise="ex_05_positions"
def layered_positions(layers, rows, cols, text_length):
    """-> (I, 3), (T, 3)"""
    ### BEGIN SOLUTION
    import torch

    frames = torch.tensor([*range(layers), -1])
    down = torch.arange(rows) - (rows - rows // 2)
    across = torch.arange(cols) - (cols - cols // 2)
    start = max(rows // 2, cols // 2, layers)
    txt = torch.arange(start, start + text_length)
    return torch.cartesian_prod(frames, down, across), txt[:, None].repeat(1, 3)
    ### END SOLUTION


# %% tags=["test"] points=4
img, txt = layered_positions(2, 3, 4, 5)
assert img.shape == (36, 3) and txt.shape == (5, 3)
### BEGIN HIDDEN TESTS
for layers, rows, cols in ((2, 3, 4), (5, 2, 1), (1, 7, 4)):
    img, txt = layered_positions(layers, rows, cols, 3)
    right = [
        [frame, row - (rows - rows // 2), col - (cols - cols // 2)]
        for frame in (*range(layers), -1)
        for row in range(rows)
        for col in range(cols)
    ]
    assert img.tolist() == right
    start = max(rows // 2, cols // 2, layers)
    assert txt.tolist() == [[start + n] * 3 for n in range(3)]
### END HIDDEN TESTS

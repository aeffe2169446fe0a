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

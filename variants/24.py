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
# # 24 · Editing: second variants
#
# ## The second resize
#
# ★★☆☆☆ · 10 minutes
#
# The vision tower resizes its copy once more. Write `size(width, height, least)`: each side becomes
# the nearest multiple of 28, halves going to the even one, and is at least 28. Where the area of
# those sides is below `least`, both *original* sides are multiplied by the same factor so that
# their area is `least`, and are rounded **up** to multiples of 28 instead.

# %% tags=["solution"] exercise="ex_24_size"
def size(width, height, least):
    """-> width and height, two whole numbers"""
    ### BEGIN SOLUTION
    nearest = [max(28, 28 * round(side / 28)) for side in (width, height)]
    if nearest[0] * nearest[1] >= least:
        return tuple(nearest)
    factor = math.sqrt(least / (width * height))
    return tuple(28 * math.ceil(factor * side / 28) for side in (width, height))
    ### END SOLUTION


# %% tags=["test"] points=2
import math

assert size(384, 384, 3136) == (392, 392)
### BEGIN HIDDEN TESTS
assert size(448, 320, 3136) == (448, 308)
assert size(42, 70, 784) == (56, 56), "1.5 and 2.5 multiples go to the even ones"
assert size(20, 28, 3136) == (56, 84)
assert size(100, 5, 4000) == (308, 28)
assert size(300, 200, 1) == (308, 196)
### END HIDDEN TESTS

# %% [markdown]
# ## The target comes last
#
# ★★★☆☆ · 15 minutes
#
# Another model puts the target **behind** its pictures. Write `assemble(target, pictures)` for
# latents `(B, 16, h, w)`. Return the tokens `(B, S, 64)`, the pictures' in their order and then the
# target's, and positions `(S, 3)`: the target has frame 0, and the pictures have frames -1, -2 and
# so on in their order. Rows and columns begin at 0 for the target. A picture's middle lies where
# the target's is: they begin at `rows // 2 - own_rows // 2`, and columns likewise.


# %% tags=["solution"] exercise="ex_24_assemble"
def assemble(target, pictures):
    """(B, 16, h, w), [(B, 16, h', w'), ...] -> (B, S, 64), (S, 3)"""
    ### BEGIN SOLUTION
    middle = [side // 2 // 2 for side in target.shape[2:]]
    places = []
    for frame, latents in [*((-n - 1, each) for n, each in enumerate(pictures)), (0, target)]:
        rows, cols = (side // 2 for side in latents.shape[2:])
        row = torch.arange(rows) + middle[0] - rows // 2
        col = torch.arange(cols) + middle[1] - cols // 2
        places.append(torch.cartesian_prod(torch.tensor([frame]), row, col))
    return torch.cat([pack(each) for each in (*pictures, target)], dim=1), torch.cat(places)
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

from qwenimage_ref.sampler import pack

target, first, second = torch.zeros(2, 16, 6, 8), torch.ones(2, 16, 4, 10), torch.ones(2, 16, 2, 6)
tokens, places = assemble(target, [first, second])
assert tokens.shape == (2, 10 + 3 + 12, 64) and places.shape == (25, 3)
### BEGIN HIDDEN TESTS
assert tokens[:, :13].eq(1).all() and tokens[:, 13:].eq(0).all()
assert places[13].tolist() == [0, 0, 0] and places[-1].tolist() == [0, 2, 3]
assert places[0].tolist() == [-1, 0, 0] and places[9].tolist() == [-1, 1, 4]
assert places[10:13].tolist() == [[-2, 1, 1], [-2, 1, 2], [-2, 1, 3]]
tall, wide = torch.randn(1, 16, 10, 2), torch.randn(1, 16, 2, 10)
tokens, places = assemble(tall, [wide])
assert torch.equal(tokens[:, :5], pack(wide)) and torch.equal(tokens[:, 5:], pack(tall))
assert places[0].tolist() == [-1, 2, -2] and places[4].tolist() == [-1, 2, 2]
### END HIDDEN TESTS

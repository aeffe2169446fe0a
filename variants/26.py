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
# # 26 · Regions: second variants
#
# ## Tokens of a box
#
# ★★☆☆☆ · 10 minutes
#
# A box goes from pixel `left, top` up to, and without, pixel `right, bottom`. A token has 16 by 16
# pixels. Write `touched(box, rows, cols)`: (I,), true for every token that shares a pixel with the
# box, row by row.

# %% tags=["solution"] exercise="ex_26_inside"
def touched(box, rows, cols):
    """(left, top, right, bottom) in pixels -> (rows * cols,)"""
    ### BEGIN SOLUTION
    import torch

    left, top, right, bottom = box
    mask = torch.zeros(rows, cols, dtype=torch.bool)
    mask[top // 16 : -(-bottom // 16), left // 16 : -(-right // 16)] = True
    return mask.flatten()
    ### END SOLUTION


# %% tags=["test"] points=2
assert touched((0, 0, 16, 16), 2, 3).tolist() == [True, False, False, False, False, False]
### BEGIN HIDDEN TESTS
assert touched((15, 0, 17, 1), 2, 3).tolist() == [True, True, False, False, False, False]
assert touched((32, 15, 48, 32), 2, 3).tolist() == [False, False, True, False, False, True]
assert touched((0, 0, 32, 48), 3, 2).all()
### END HIDDEN TESTS

# %% [markdown]
# ## The text's own places
#
# ★★☆☆☆ · 10 minutes
#
# Texts of `lengths` tokens stand one behind the other in a sequence, and each of them is counted
# from 0. Write `numbered(lengths)`: (T,), for each token its number in its own text.


# %% tags=["solution"] exercise="ex_26_places"
def numbered(lengths):
    """-> (T,)"""
    ### BEGIN SOLUTION
    import torch

    return torch.cat([torch.arange(length) for length in lengths])
    ### END SOLUTION


# %% tags=["test"] points=2
assert numbered([2, 3]).tolist() == [0, 1, 0, 1, 2]
### BEGIN HIDDEN TESTS
assert numbered([4]).tolist() == [0, 1, 2, 3]
assert numbered([1, 1, 2]).tolist() == [0, 0, 0, 1]
### END HIDDEN TESTS

# %% [markdown]
# ## Regions that do not look into each other
#
# ★★★★☆ · 25 minutes
#
# A training-free rule forbids more: image tokens of one region do not see those of another either.
# `region` is (I,), for each image token the number of its region, or -1 for the background. Two
# image tokens see each other if they are in one region, or if one of them is background. Write
# `apart(region)`: (I, I), true where a token (row) may see another (column).


# %% tags=["solution"] exercise="ex_26_mask"
def apart(region):
    """(I,) -> (I, I)"""
    ### BEGIN SOLUTION
    behind = region < 0
    same = region.unsqueeze(1) == region
    return same | behind | behind.unsqueeze(1)
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

assert apart(torch.tensor([0, 1])).tolist() == [[True, False], [False, True]]
### BEGIN HIDDEN TESTS
seen = apart(torch.tensor([0, -1, 1, 0]))
assert seen.tolist() == [
    [True, True, False, True],
    [True, True, True, True],
    [False, True, True, False],
    [True, True, False, True],
]
assert seen.dtype == torch.bool and apart(torch.full((3,), -1)).all()
### END HIDDEN TESTS

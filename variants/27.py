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
# # 27 · Layers: second variants
#
# ## Alpha from two pictures
#
# ★★★☆☆ · 15 minutes
#
# A layer lies once on black and once on white. Write `matte(on_black, on_white)`: both are tensors
# (3, H, W) from 0 to 1. Return the layer (4, H, W) with straight alpha, taken from the mean of the
# three channels. Where alpha is 0, the colours are 0.


# %% tags=["solution"] exercise="ex_27_over"
def matte(on_black, on_white):
    """(3, H, W), (3, H, W) -> (4, H, W)"""
    ### BEGIN SOLUTION
    import torch

    alpha = 1 - (on_white - on_black).mean(dim=0, keepdim=True)
    return torch.cat([on_black / alpha.clamp(min=1e-6), alpha])
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

assert torch.equal(matte(torch.zeros(3, 1, 2), torch.ones(3, 1, 2)), torch.zeros(4, 1, 2))
### BEGIN HIDDEN TESTS
layer = torch.rand(4, 3, 5, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
black = layer[:3] * layer[3:]
assert torch.allclose(matte(black, black + 1 - layer[3:]), layer, atol=1e-4)
assert torch.equal(matte(layer[:3], layer[:3])[3], torch.ones(3, 5))
### END HIDDEN TESTS

# %% [markdown]
# ## Which frame is it?
#
# ★★★☆☆ · 10 minutes
#
# Write `frame_of(token, layers, rows, cols)`: the frame of image token number `token`, counted from
# 0, in the sequence of a layered model. Return *None* where the sequence has no such token.


# %% tags=["solution"] exercise="ex_27_places"
def frame_of(token, layers, rows, cols):
    """-> a whole number, or None"""
    ### BEGIN SOLUTION
    part = token // (rows * cols)
    if token < 0 or part > layers + 1:
        return None
    return part if part <= layers else -1
    ### END SOLUTION


# %% tags=["test"] points=3
assert frame_of(0, 2, 3, 4) == 0 and frame_of(13, 2, 3, 4) == 1
### BEGIN HIDDEN TESTS
assert frame_of(35, 2, 3, 4) == 2 and frame_of(36, 2, 3, 4) == -1 and frame_of(47, 2, 3, 4) == -1
assert frame_of(48, 2, 3, 4) is None and frame_of(5, 1, 5, 1) == 1 and frame_of(-1, 2, 3, 4) is None
### END HIDDEN TESTS

# %% [markdown]
# ## Half of the steps
#
# ★★☆☆☆ · 10 minutes
#
# Of evenly spaced levels, half of the steps begin above 1/2. Write `middle(width, height)`: the
# level above which half of the steps of a layered model begin, for frames of this size in pixels.


# %% tags=["solution"] exercise="ex_27_levels"
def middle(width, height):
    """-> a level from 0 to 1"""
    ### BEGIN SOLUTION
    shift = (width * height / 256 / 256) ** 0.5
    return shift / (shift + 1)
    ### END SOLUTION


# %% tags=["test"] points=2
assert abs(middle(256, 256) - 0.5) < 1e-6
### BEGIN HIDDEN TESTS
assert abs(middle(640, 640) - 2.5 / 3.5) < 1e-6 and abs(middle(1024, 1024) - 0.8) < 1e-6
assert abs(middle(512, 128) - 0.5) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# ## A pair never twice
#
# ★★★☆☆ · 20 minutes
#
# Another cure against repetition: no *pair* of neighbouring tokens may occur twice. Write
# `without_pairs(scores_of, ids, most)`. `scores_of(ids)` gives a tensor of scores for the next
# token; `ids` is the question. Write `most` tokens, each time the likeliest that makes no pair with
# the token before it that has occurred in the question or since. Return what was written.


# %% tags=["solution"] exercise="ex_27_write"
def without_pairs(scores_of, ids, most):
    """-> a list of ids"""
    ### BEGIN SOLUTION
    ids, start = list(ids), len(ids)
    for _ in range(most):
        pairs = {*zip(ids, ids[1:])}
        order = scores_of(ids).argsort(descending=True).tolist()
        ids.append(next(id for id in order if (ids[-1], id) not in pairs))
    return ids[start:]
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

assert without_pairs(lambda ids: torch.tensor([3.0, 2.0, 1.0]), [2], 3) == [0, 0, 1]
### BEGIN HIDDEN TESTS
assert without_pairs(lambda ids: torch.tensor([3.0, 2.0, 1.0]), [2, 0, 0], 4) == [1, 0, 2, 1]
assert without_pairs(lambda ids: torch.tensor([-3.0, -2.0]), [0], 2) == [1, 1]
### END HIDDEN TESTS

# %% [markdown]
# ## Where the tiles are
#
# ★★★★☆ · 15 minutes
#
# A picture is `length` pixels long. Tiles of `side` pixels begin every `step` pixels, as long as
# there are pixels left, and the last ones are cut off at the end. Write `shares(length, side,
# step)`: a tensor (number of tiles, length), the share that each tile has in each pixel when every
# tile fades into the next in a straight line, over as many pixels as both have in common but at
# most `side - step`, and shows only its first `step` pixels.


# %% tags=["solution"] exercise="ex_27_blended"
def shares(length, side, step):
    """-> (tiles, length), each column with the sum 1"""
    ### BEGIN SOLUTION
    import torch

    starts = list(range(0, length, step))
    table = torch.zeros(len(starts), length)
    for number, start in enumerate(starts):
        table[number, start : start + step] = 1
        if number:
            n = min(side - step, length - start)
            fade = torch.arange(n) / n
            table[number, start : start + n] = fade
            table[number - 1, start : start + n] = 1 - fade
    return table
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

assert shares(4, 4, 3).tolist() == [[1, 1, 1, 1], [0, 0, 0, 0]]
### BEGIN HIDDEN TESTS
answer = shares(11, 8, 6)
assert answer.shape == (2, 11) and torch.allclose(answer.sum(0), torch.ones(11))
assert answer[1].tolist() == [0] * 6 + [0, 0.5, 1, 1, 1]
assert shares(20, 8, 6).shape == (4, 20) and shares(20, 8, 6)[3, 18:].tolist() == [0, 0.5]
### END HIDDEN TESTS

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
# # 25 · Control: second variants
#
# ## Blocks of a residual
#
# ★★☆☆☆ · 10 minutes
#
# A control network gives `count` residuals to a transformer of `blocks` blocks. Each serves
# `blocks / count` blocks in a row, rounded up; the last may serve fewer. Write
# `served(number, blocks, count)`: the list of the blocks behind which residual `number` is added.

# %% tags=["solution"] exercise="ex_25_residual"
def served(number, blocks, count):
    """-> list of numbers of blocks"""
    ### BEGIN SOLUTION
    each = -(-blocks // count)
    return list(range(number * each, min(blocks, (number + 1) * each)))
    ### END SOLUTION


# %% tags=["test"] points=2
assert served(0, 8, 2) == [0, 1, 2, 3]
### BEGIN HIDDEN TESTS
assert served(1, 7, 3) == [3, 4, 5] and served(2, 7, 3) == [6]
assert served(4, 60, 5) == list(range(48, 60))
assert served(6, 60, 7) == list(range(54, 60))
### END HIDDEN TESTS

# %% [markdown]
# ## What the untrained block does
#
# ★★★☆☆ · 15 minutes
#
# The norm of a blockwise network is $y\,/\sqrt{\overline{y^2} + \epsilon}$ with $\epsilon =
# 10^{-6}$ and weights of one. Write `gain(y)`: for each token of `y` (I, D) the factor by which the
# norm multiplies it, (I,).


# %% tags=["solution"] exercise="ex_25_blockwise"
def gain(y):
    """(I, D) -> (I,)"""
    ### BEGIN SOLUTION
    return (y.square().mean(-1) + 1e-6).rsqrt()
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

assert torch.allclose(gain(torch.ones(2, 3)), torch.ones(2))
### BEGIN HIDDEN TESTS
assert torch.allclose(gain(torch.zeros(4, 5)), torch.full((4,), 1000.0))
assert torch.allclose(gain(torch.tensor([[3.0, 4.0]])), torch.tensor([12.5]).rsqrt())
assert torch.allclose(gain(torch.full((1, 2), 1e-3)), torch.tensor([2e-6]).rsqrt())
### END HIDDEN TESTS

# %% [markdown]
# ## One network, several windows
#
# ★★★★☆ · 20 minutes
#
# `blocks` are functions from two streams `img, txt` to the next two. A single network adds
# `scale * add(i, img)` behind block `i`. Its scale changes over the steps: `scales` is a list of
# `(start, end, scale)`, and in step `step` of `steps` the first entry counts that has the *middle*
# of the step inside, `start <= (step + 0.5) / steps < end`. Where none has, nothing is added. Write
# `scheduled(blocks, img, txt, add, scales, step, steps)`: the image stream behind the last block.


# %% tags=["solution"] exercise="ex_25_steered"
def scheduled(blocks, img, txt, add, scales, step, steps):
    """-> (I, D)"""
    ### BEGIN SOLUTION
    middle = (step + 0.5) / steps
    scale = next((scale for start, end, scale in scales if start <= middle < end), 0.0)
    for i, block in enumerate(blocks):
        img, txt = block(img, txt)
        if scale:
            img = img + scale * add(i, img)
    return img
    ### END SOLUTION


# %% tags=["test"] points=4
import torch


def block(img, txt):
    return img + txt.sum(), txt + 1


def add(i, img):
    return (i + 1) * img


img, txt, scales = torch.ones(1, 1), torch.zeros(1, 1), [(0.0, 0.5, 2.0), (0.25, 1.0, 1.0)]
assert scheduled([block], img, txt, add, scales, 0, 4).item() == 3
### BEGIN HIDDEN TESTS
assert scheduled([block], img, txt, add, scales, 3, 4).item() == 2
assert scheduled([block, block], img, txt, add, scales, 1, 4).item() == 20
assert scheduled([block, block], img, txt, add, [(0.0, 0.5, 2.0)], 2, 4).item() == 2
assert scheduled([block], img, txt, add, scales, 0, 1).item() == 2
### END HIDDEN TESTS

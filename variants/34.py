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
# # 34 · Look inside: second variants
#
# ## Characters of some tokens
#
# ★★☆☆☆ · 10 minutes
#
# A text is cut into tokens of `lengths` characters. Write `span_of(lengths, numbers)`: from a list
# of consecutive token numbers to a pair, the number of their first character and that of the first
# character behind them.

# %% tags=["solution"] exercise="ex_34_overlap"
def span_of(lengths, numbers):
    """-> (start, stop)"""
    ### BEGIN SOLUTION
    start = sum(lengths[: numbers[0]])
    return start, start + sum(lengths[number] for number in numbers)
    ### END SOLUTION


# %% tags=["test"] points=2
assert span_of([3, 1, 4], [0]) == (0, 3)
### BEGIN HIDDEN TESTS
assert span_of([3, 1, 4], [1, 2]) == (3, 8) and span_of([3, 1, 4], [2]) == (4, 8)
assert span_of([2, 5, 1, 7], [0, 1, 2, 3]) == (0, 15)
### END HIDDEN TESTS

# %% [markdown]
# ## Outsiders
#
# ★★★☆☆ · 10 minutes
#
# Some of S tokens are outsiders: they see themselves alone, and no other token sees them. All
# others see each other. Write `allowed(outsider)` from (S,) of true and false to the mask (S, S),
# true where a row may see a column.


# %% tags=["solution"] exercise="ex_34_seen"
def allowed(outsider):
    """(S,) -> (S, S)"""
    ### BEGIN SOLUTION
    import torch

    inside = ~outsider
    return inside.unsqueeze(1) & inside | torch.eye(len(outsider), dtype=torch.bool)
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

mask = allowed(torch.tensor([False, True, False]))
assert mask.tolist() == [[True, False, True], [False, True, False], [True, False, True]]
### BEGIN HIDDEN TESTS
assert allowed(torch.zeros(4, dtype=torch.bool)).all()
assert torch.equal(allowed(torch.ones(4, dtype=torch.bool)), torch.eye(4, dtype=torch.bool))
assert mask.dtype == torch.bool
### END HIDDEN TESTS

# %% [markdown]
# ## The other picture, for one block
#
# ★★★★☆ · 20 minutes
#
# `blocks` are functions from two streams `img, txt` to the next two. Write `misled(blocks, img,
# txt, other_img, other_txt, at)`: the text stream behind the last block of the first run, if block
# `at` alone gets the image stream of the second run as it is there. What that block makes of the
# image stream is thrown away: the first run's image stream passes block `at` unchanged.


# %% tags=["solution"] exercise="ex_34_patch"
def misled(blocks, img, txt, other_img, other_txt, at):
    """-> (T, D)"""
    ### BEGIN SOLUTION
    for number, block in enumerate(blocks):
        if number == at:
            _, txt = block(other_img, txt)
        else:
            img, txt = block(img, txt)
        other_img, other_txt = block(other_img, other_txt)
    return txt
    ### END SOLUTION


# %% tags=["test"] points=4
import torch


def block(img, txt):
    return img + 2 * txt.sum(0), txt + 3 * img.sum(0)


first = torch.ones(1, 1), torch.zeros(1, 1)
second = 5 * torch.ones(1, 1), torch.ones(1, 1)
assert misled([block], *first, *second, 0).item() == 15
### BEGIN HIDDEN TESTS
assert misled([block, block], *first, *second, 0).item() == 18
assert misled([block, block], *first, *second, 1).item() == 24
assert misled([block] * 3, *first, *second, 1).item() == 27
### END HIDDEN TESTS

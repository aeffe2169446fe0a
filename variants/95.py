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
# # 95 · What Qwen-Image-2.1 changed: second variants
#
# ## Two pictures that do not see each other
#
# ★★☆☆☆ · 10 minutes
#
# A sequence consists of one text and then several images, each of which is to be edited by that
# text. Write `separate(text, images)`: `text` is a number of tokens, `images` a list of numbers of
# tokens. The mask (S, S), torch.bool, is true where a token (row) may see another (column): text as
# in the chapter, an image sees all of the text and all of itself, but no other image.


# %% tags=["solution"] exercise="ex_95_visible"
def separate(text, images):
    """-> (S, S)"""
    ### BEGIN SOLUTION
    import torch

    number = torch.repeat_interleave(torch.tensor([text, *images]))
    same = number.unsqueeze(1) == number
    mask = same | (number == 0)
    mask[:text] = False
    mask[:text, :text] = torch.ones(text, text, dtype=torch.bool).tril()
    return mask
    ### END SOLUTION


# %% tags=["test"] points=2
assert separate(2, [2]).tolist() == [
    [True, False, False, False], [True, True, False, False],
    [True, True, True, True], [True, True, True, True],
]  # fmt: skip
### BEGIN HIDDEN TESTS
mask = separate(3, [2, 4])
assert mask[3:, :3].all() and not mask[3:5, 5:].any() and not mask[5:, 3:5].any()
assert mask[3:5, 3:5].all() and mask[5:, 5:].all() and mask[:3].sum() == 6
### END HIDDEN TESTS

# %% [markdown]
# ## Pictures from one prompt
#
# ★★★☆☆ · 10 minutes
#
# From one prompt and its condition images, `count` pictures are painted in `steps` steps each. What
# is kept is computed once, with the first step of the first picture, and serves all of them. Write
# `saved(conditions, target, steps, count)`: how many times less work that is than computing every
# token in every step of every picture.


# %% tags=["solution"] exercise="ex_95_saved"
def saved(conditions, target, steps, count):
    """-> a number"""
    ### BEGIN SOLUTION
    whole = count * steps * (conditions + target)
    return whole / (conditions + count * steps * target)
    ### END SOLUTION


# %% tags=["test"] points=3
assert saved(0, 64, 8, 5) == 1
### BEGIN HIDDEN TESTS
assert saved(50, 70, 1, 1) == 1 and saved(64, 64, 1, 2) == 256 / 192
assert abs(saved(100, 50, 4, 3) - 12 * 150 / 700) < 1e-12
### END HIDDEN TESTS

# %% [markdown]
# ## A language model from its cache
#
# ★★★★☆ · 20 minutes
#
# One layer of a language model computes only the newest token. Write `next_token(x, wq, wk, wv,
# before)`: `x` is (B, 1, D), the matrices are (D, D) and are used as nn.Linear uses its weight,
# `before` holds keys and values (B, P, D) of the tokens so far. There is one head, without rotation
# and norms. Return the attended values (B, 1, D), and keys and values of all tokens, (B, P + 1, D)
# each, for the token after that.


# %% tags=["solution"] exercise="ex_95_cached"
def next_token(x, wq, wk, wv, before):
    """-> (B, 1, D), ((B, P + 1, D), (B, P + 1, D))"""
    ### BEGIN SOLUTION
    import torch
    import torch.nn.functional as F

    k = torch.cat([before[0], x @ wk.T], dim=1)
    v = torch.cat([before[1], x @ wv.T], dim=1)
    return F.scaled_dot_product_attention(x @ wq.T, k, v), (k, v)
    ### END SOLUTION


# %% tags=["test"] points=4
import torch.nn.functional as F
from torch import Generator, allclose, empty, randn

rng = Generator().manual_seed(0)
tokens = randn(2, 5, 6, generator=rng)
wq, wk, wv = randn(3, 6, 6, generator=rng)
none = empty(2, 0, 6)
out, kept = next_token(tokens[:, :1], wq, wk, wv, (none, none))
assert out.shape == (2, 1, 6) and kept[0].shape == (2, 1, 6)
### BEGIN HIDDEN TESTS
whole = F.scaled_dot_product_attention(tokens @ wq.T, tokens @ wk.T, tokens @ wv.T, is_causal=True)
kept = (none, none)
for i in range(5):
    out, kept = next_token(tokens[:, i : i + 1], wq, wk, wv, kept)
    assert allclose(out[:, 0], whole[:, i], atol=1e-5)
assert allclose(kept[1], tokens @ wv.T, atol=1e-6)
### END HIDDEN TESTS

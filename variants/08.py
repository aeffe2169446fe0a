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
# # 08 · The shifted sampler: second variants
#
# ## From the shift to the size
#
# ★★☆☆☆ · 5 minutes
#
# Write `tokens_of(mu)`: the number of image tokens, rounded to a whole number, at which the
# official line gives `mu`. The line passes 0.5 at 256 tokens and 0.9 at 8,192.

# %% tags=["solution"] exercise="ex_08_mu"
def tokens_of(mu):
    """Image tokens at which the line gives mu."""
    ### BEGIN SOLUTION
    return round(256 + (mu - 0.5) * (8192 - 256) / (0.9 - 0.5))
    ### END SOLUTION


# %% tags=["test"] points=2
assert tokens_of(0.5) == 256
### BEGIN HIDDEN TESTS
assert tokens_of(0.9) == 8192
assert tokens_of(0.7) == 4224
assert tokens_of(0.4) == -1728, "the line has no clamp"
### END HIDDEN TESTS

# %% [markdown]
# ## Levels from a lower start
#
# ★★☆☆☆ · 5 minutes
#
# Write `my_stretch(levels, start)`: noise levels that fall from 1, all multiplied by one factor so
# that the first becomes `start`. A 0 stays a 0, and the argument stays as it is.


# %% tags=["solution"] exercise="ex_08_stretch"
def my_stretch(levels, start):
    """(steps,), start -> (steps,)"""
    ### BEGIN SOLUTION
    return levels * (start / levels[0])
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

assert my_stretch(torch.tensor([1.0, 0.5, 0.0]), 0.8).shape == (3,)
### BEGIN HIDDEN TESTS
levels = torch.tensor([0.9, 0.6, 0.3, 0.0])
before = levels.clone()
assert torch.allclose(my_stretch(levels, 0.6), torch.tensor([0.6, 0.4, 0.2, 0.0]))
assert torch.equal(levels, before)
### END HIDDEN TESTS

# %% [markdown]
# ## Rescaled by the deviation
#
# ★★★☆☆ · 10 minutes
#
# Lin et al. (2023) rescale guidance otherwise. Write `my_guide(cond, uncond, scale, phi)`: combine
# as in the chapter, multiply each picture of the batch `(B, I, C)` by the ratio of the standard
# deviations of `cond` and of the combination, taken over all of its numbers, and mix: `phi` times
# the rescaled velocity and `1 - phi` times the combined one.


# %% tags=["solution"] exercise="ex_08_guide"
def my_guide(cond, uncond, scale, phi):
    """(B, I, C), (B, I, C) -> (B, I, C)"""
    ### BEGIN SOLUTION
    combined = uncond + scale * (cond - uncond)
    ratio = cond.std(dim=(1, 2), keepdim=True) / combined.std(dim=(1, 2), keepdim=True)
    return phi * combined * ratio + (1 - phi) * combined
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

cond, uncond = torch.randn(2, 3, 7, 5, generator=torch.Generator().manual_seed(0)).unbind()
assert my_guide(cond, uncond, 4.0, 0.7).shape == cond.shape
### BEGIN HIDDEN TESTS
combined = uncond + 3 * (cond - uncond)
assert torch.allclose(my_guide(cond, uncond, 3, 0), combined, atol=1e-5)
full = my_guide(cond, uncond, 3, 1)
for b in range(3):
    right = combined[b] * cond[b].std() / combined[b].std()
    assert torch.allclose(full[b], right, atol=1e-4)
half = my_guide(cond, uncond, 3, 0.25)
assert torch.allclose(half, 0.25 * full + 0.75 * combined, atol=1e-5)
### END HIDDEN TESTS

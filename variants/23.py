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
# # 23 · Image to image and inpainting: second variants
#
# ## The mask that keeps
#
# ★★☆☆☆ · 10 minutes
#
# Write `blend(latents, clean, noise, mask, sigma)` for a mask that is 1 where the picture is
# **kept**. Where it is kept the latents are the clean ones under the noise of level `sigma`; values
# between 0 and 1 mix.

# %% tags=["solution"] exercise="ex_23_blend"
def blend(latents, clean, noise, mask, sigma):
    """(B, C, h, w) x 3, (B or 1, 1, h, w), () -> (B, C, h, w)"""
    ### BEGIN SOLUTION
    kept = (1 - sigma) * clean + sigma * noise
    return mask * kept + (1 - mask) * latents
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

generator = torch.Generator().manual_seed(0)
latents, clean, noise = torch.randn(3, 2, 4, 3, 5, generator=generator).unbind()
mask = torch.rand(1, 1, 3, 5, generator=generator)
assert blend(latents, clean, noise, mask, torch.tensor(0.3)).shape == latents.shape
### BEGIN HIDDEN TESTS
for sigma in (0.0, 0.3, 1.0):
    under = torch.lerp(clean, noise, sigma)
    right = torch.lerp(latents, under, mask.expand_as(latents))
    assert torch.allclose(blend(latents, clean, noise, mask, torch.tensor(sigma)), right, atol=1e-5)
all_kept = blend(latents, clean, noise, torch.ones_like(mask), torch.tensor(0.0))
assert torch.allclose(all_kept, clean)
### END HIDDEN TESTS

# %% [markdown]
# ## Back, where noise is only added
#
# ★★★☆☆ · 15 minutes
#
# In another family of models the mixture of level `sigma` is `picture + sigma * noise`, with levels
# from 0 to any size, and the network is given `scaled = mixture / sqrt(1 + sigma**2)`. Write
# `jump(scaled, fresh, sigma, higher)`: the *scaled* mixture at level `sigma` and fresh noise -> the
# scaled mixture at level `higher`.


# %% tags=["solution"] exercise="ex_23_jump"
def jump(scaled, fresh, sigma, higher):
    """(B, C, h, w), (B, C, h, w), (), () -> (B, C, h, w)"""
    ### BEGIN SOLUTION
    mixture = scaled * (1 + sigma**2) ** 0.5 + (higher**2 - sigma**2) ** 0.5 * fresh
    return mixture / (1 + higher**2) ** 0.5
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

generator = torch.Generator().manual_seed(0)
scaled, fresh = torch.randn(2, 2, 4, 3, 5, generator=generator).unbind()
assert jump(scaled, fresh, torch.tensor(0.5), torch.tensor(2.0)).shape == scaled.shape
### BEGIN HIDDEN TESTS
same = jump(scaled, fresh, torch.tensor(0.5), torch.tensor(0.5))
assert torch.allclose(same, scaled, atol=1e-6)
picture, noise = torch.randn(2, 1, 1, 400, 500, generator=generator).unbind()
fresh = torch.randn(1, 1, 400, 500, generator=generator)
for low, high in ((0.0, 0.5), (0.5, 2.0), (3.0, 4.0)):
    before = (picture + low * noise) / (1 + low**2) ** 0.5
    after = jump(before, fresh, torch.tensor(low), torch.tensor(high)) * (1 + high**2) ** 0.5
    weight = (after * picture).mean() / picture.square().mean()
    assert abs(weight - 1) < 0.05 and abs((after - picture).std() - high) < 0.02 * (1 + high)
### END HIDDEN TESTS

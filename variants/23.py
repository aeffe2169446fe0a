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

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
# # 09 · Text to image: second variants
#
# ## From a noise level
#
# ★★★☆☆ · 15 minutes
#
# Write `image_to_image(pipe, img, noise, levels, highest, cond, uncond)`: encode and normalise the
# picture, begin at the first of the `levels` that is at most `highest`, and denoise from there.
# `pipe.vae.encode(img)` gives mean and log-variance, `pipe.denoise(x, levels, cond, uncond)` the
# latents.

# %% tags=["solution"] exercise="ex_09_img2img"
def image_to_image(pipe, img, noise, levels, highest, cond, uncond):
    """(1, 3, H, W), (1, C, h, w), (steps + 1,) -> (1, C, h, w)"""
    ### BEGIN SOLUTION
    first = next(i for i, level in enumerate(levels) if level <= highest)
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    x = (1 - levels[first]) * clean + levels[first] * noise
    return pipe.denoise(x, levels[first:], cond, uncond)
    ### END SOLUTION


# %% tags=["test"] points=3
from types import SimpleNamespace

import torch

vae = SimpleNamespace(encode=lambda img: (img * 2, None), normalize=lambda z: z - 1)
pipe = SimpleNamespace(vae=vae, denoise=lambda x, levels, cond, uncond: (x, levels, cond, uncond))
levels = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
img, noise = torch.full((1, 3, 2, 2), 3.0), torch.full((1, 3, 2, 2), -7.0)
image_to_image(pipe, img, noise, levels, 0.6, "cond", "uncond")
### BEGIN HIDDEN TESTS
for highest, first in ((0.6, 2), (0.5, 2), (1.0, 0), (0.79, 2), (0.1, 4)):
    x, left, cond, uncond = image_to_image(pipe, img, noise, levels, highest, "cond", "uncond")
    assert torch.equal(left, levels[first:]), f"highest {highest}"
    right = (1 - levels[first]) * 5.0 - levels[first] * 7.0
    assert torch.allclose(x, right.expand_as(x)) and (cond, uncond) == ("cond", "uncond")
### END HIDDEN TESTS

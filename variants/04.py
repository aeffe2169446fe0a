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
# # 04 · Pictures to latents and back: second variants
#
# ## A picture that was always there
#
# ★★☆☆☆ · 5 minutes
#
# Suppose that the frames before the picture were not empty but copies of it. Write
# `flatten(kernel)`: from the weight of a convolution over time, `(out, in, 3, 3, 3)` with time
# third, to the weight of the convolution in two dimensions that then gives the same picture.

# %% tags=["solution"] exercise="ex_04_taps"
def flatten(kernel):
    """(out, in, 3, 3, 3) -> (out, in, 3, 3)"""
    ### BEGIN SOLUTION
    return kernel.sum(2)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

kernel = torch.randn(4, 2, 3, 3, 3, generator=torch.Generator().manual_seed(0))
assert flatten(kernel).shape == (4, 2, 3, 3)
### BEGIN HIDDEN TESTS
before = kernel.clone()
x = torch.randn(1, 2, 6, 5, generator=torch.Generator().manual_seed(1))
video = x[:, :, None].repeat(1, 1, 3, 1, 1)
right = torch.nn.functional.conv3d(video, kernel, padding=(0, 1, 1))[:, :, 0]
assert torch.allclose(torch.nn.functional.conv2d(x, flatten(kernel), padding=1), right, atol=1e-5)
assert torch.equal(kernel, before), "the kernel stays as it is"
### END HIDDEN TESTS

# %% [markdown]
# ## Back to the decoder's scale
#
# ★★☆☆☆ · 5 minutes
#
# Write `denormalise(z, mean, std)`, which takes latents `(B, C, h, w)` from the transformer's scale
# back to the decoder's. `mean` and `std` have a number for each channel.


# %% tags=["solution"] exercise="ex_04_stats"
def denormalise(z, mean, std):
    """(B, C, h, w), (C,), (C,) -> (B, C, h, w)"""
    ### BEGIN SOLUTION
    return z * std[:, None, None] + mean[:, None, None]
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

z = torch.randn(2, 3, 3, 5, generator=torch.Generator().manual_seed(0))
mean, std = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 0.5, 3.0])
assert denormalise(z, mean, std).shape == z.shape
### BEGIN HIDDEN TESTS
before = z.clone()
answer = denormalise(z, mean, std)
for c in range(3):
    assert torch.allclose(answer[:, c], z[:, c] * std[c] + mean[c])
assert torch.equal(z, before), "z stays as it is"
### END HIDDEN TESTS

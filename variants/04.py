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

# %% [markdown]
# ## Half as large with half of the work
#
# ★★★★☆ · 25 minutes
#
# A network convolves `x` `(B, C, 2h, 2w)` with `weight` `(out, C, 3, 3)` and `bias` `(out,)`, with
# one row and column of zeros around x, and then replaces every square of 2 × 2 by its mean. Write
# `shrink(x, weight, bias)`, which gives the same `(B, out, h, w)` by a single convolution with a
# larger kernel, and with no more than 16 products for every number of the result and each pair of
# channels.


# %% tags=["solution"] exercise="ex_04_enlarge"
def shrink(x, weight, bias):
    """(B, C, 2h, 2w), (out, C, 3, 3), (out,) -> (B, out, h, w)"""
    ### BEGIN SOLUTION
    import torch.nn.functional as F

    places = [(row, column) for row in (0, 1) for column in (0, 1)]
    kernel = sum(F.pad(weight, (column, 1 - column, row, 1 - row)) for row, column in places)
    return F.conv2d(x, kernel / 4, bias, stride=2, padding=1)
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

x, weight = torch.ones(1, 1, 6, 4), torch.ones(2, 1, 3, 3)
assert shrink(x, weight, torch.zeros(2)).shape == (1, 2, 3, 2)
### BEGIN HIDDEN TESTS
from torch.nn.functional import avg_pool2d, conv2d
from torch.utils.flop_counter import FlopCounterMode

generator = torch.Generator().manual_seed(0)
for B, C, out, h, w in ((2, 3, 5, 3, 7), (1, 2, 1, 5, 2), (1, 1, 1, 1, 1)):
    x = torch.randn(B, C, 2 * h, 2 * w, generator=generator)
    weight = torch.randn(out, C, 3, 3, generator=generator)
    bias = torch.randn(out, generator=generator)
    before = x.clone(), weight.clone()
    with FlopCounterMode(display=False) as counter:
        answer = shrink(x, weight, bias)
    assert torch.allclose(answer, avg_pool2d(conv2d(x, weight, bias, padding=1), 2), atol=1e-4), (
        h,
        w,
    )
    assert counter.get_total_flops() <= 2 * 16 * B * C * out * h * w
    assert torch.equal(x, before[0]) and torch.equal(weight, before[1]), "the arguments stay"
### END HIDDEN TESTS

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
# # 33 · Image to LoRA: second variants
#
# ## What a residual costs
#
# ★★☆☆☆ · 10 minutes
#
# The releases Coarse and Fine read `length` text-tower states of `states` numbers as well. For each
# group of layers, four in a block, a map makes each state `middle` numbers short, and a second one
# reads all of them at once and returns `compress` numbers. Neither has a bias. Write
# `residual_weights(blocks, length, states, middle, compress)`.

# %% tags=["solution"] exercise="ex_33_count"
def residual_weights(blocks, length, states, middle, compress):
    """-> a whole number"""
    ### BEGIN SOLUTION
    return 4 * blocks * (states * middle + length * middle * compress)
    ### END SOLUTION


# %% tags=["test"] points=2
assert residual_weights(0, 7, 5, 3, 2) == 0
### BEGIN HIDDEN TESTS
assert residual_weights(1, 7, 5, 3, 2) == 4 * (15 + 42)
assert residual_weights(60, 71, 3584, 1024, 128) == 240 * (3584 * 1024 + 71 * 1024 * 128)
### END HIDDEN TESTS

# %% [markdown]
# ## Neighbours
#
# ★★★☆☆ · 15 minutes
#
# Write `neighbours(latents)`: for latents (C, h, w) a tensor (C, C) that holds, for each pair of
# channels, the mean product of the first at a place and the second one *row below*. The last row
# has nothing below it.


# %% tags=["solution"] exercise="ex_33_gram"
def neighbours(latents):
    """(C, h, w) -> (C, C)"""
    ### BEGIN SOLUTION
    above, below = latents[:, :-1].flatten(1), latents[:, 1:].flatten(1)
    return above @ below.T / above.shape[1]
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

assert neighbours(torch.ones(2, 3, 4)).tolist() == [[1, 1], [1, 1]]
### BEGIN HIDDEN TESTS
x = torch.randn(3, 4, 5)
wanted = sum(x[0, i, j] * x[2, i + 1, j] for i in range(3) for j in range(5)) / 15
assert torch.allclose(neighbours(x)[0, 2], wanted, atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## Joined by weights
#
# ★★★☆☆ · 10 minutes
#
# Write `weighted(loras, weights)`: from N pairs A (r, in) and B (out, r) and as many numbers, one
# pair whose product is the sum of the products, each counted by its weight. Weights may be
# negative.


# %% tags=["solution"] exercise="ex_33_joined"
def weighted(loras, weights):
    """-> A (sum of ranks, in), B (out, sum of ranks)"""
    ### BEGIN SOLUTION
    import torch

    A = torch.cat([weight * A for (A, _), weight in zip(loras, weights)])
    return A, torch.cat([B for _, B in loras], dim=1)
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

pairs = [(torch.randn(r, 5), torch.randn(4, r)) for r in (2, 3)]
A, B = weighted(pairs, [1.0, -0.5])
assert A.shape == (5, 5) and B.shape == (4, 5)
### BEGIN HIDDEN TESTS
wanted = pairs[0][1] @ pairs[0][0] - 0.5 * pairs[1][1] @ pairs[1][0]
assert torch.allclose(B @ A, wanted, atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## From the product to its factors
#
# ★★★★☆ · 15 minutes
#
# Somebody merged a LoRA, so that the gradient is known by the *product* B A alone: a tensor (out,
# in). Write `by_factors(A, B, slope)`, a number with value 0 whose gradients by A (r, in) and B
# (out, r) are those that follow from it. No gradient may belong to the slope.


# %% tags=["solution"] exercise="ex_33_handed"
def by_factors(A, B, slope):
    """-> ()"""
    ### BEGIN SOLUTION
    product = B @ A
    return ((product - product.detach()) * slope.detach()).sum()
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

A, B = torch.randn(2, 5, requires_grad=True), torch.randn(4, 2, requires_grad=True)
slope = torch.randn(4, 5, requires_grad=True)
assert by_factors(A, B, slope).shape == ()
### BEGIN HIDDEN TESTS
value = by_factors(A, B, slope)
assert value.item() == 0
got = torch.autograd.grad(value, (A, B, slope), allow_unused=True)
assert torch.allclose(got[0], B.T @ slope, atol=1e-5)
assert torch.allclose(got[1], slope @ A.T, atol=1e-5)
assert got[2] is None or not got[2].any()
### END HIDDEN TESTS

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
# # 13 · Is it any good?: second variants
#
# ## A tie
#
# ★★★☆☆ · 15 minutes
#
# Write `tied(better, worse, n)`: the chance that model A, right with chance `better`, and model B,
# right with chance `worse`, get **equally many** of `n` captions right, each its own.

# %% tags=["solution"] exercise="ex_13_fooled"
def tied(better, worse, n):
    """The chance of as many right answers of both."""
    ### BEGIN SOLUTION
    import math

    def chance(share, k):
        return math.comb(n, k) * share**k * (1 - share) ** (n - k)

    return sum(chance(better, k) * chance(worse, k) for k in range(n + 1))
    ### END SOLUTION


# %% tags=["test"] points=3
assert 0 <= tied(0.9, 0.8, 10) <= 1
### BEGIN HIDDEN TESTS
assert abs(tied(0.5, 0.5, 1) - 0.5) < 1e-9
assert abs(tied(0.9, 0.8, 1) - 0.74) < 1e-9
assert abs(tied(0.5, 0.5, 2) - 0.375) < 1e-9
assert tied(1.0, 0.0, 5) == 0
### END HIDDEN TESTS

# %% [markdown]
# ## A lead of its own
#
# ★★★☆☆ · 15 minutes
#
# Two settings are compared on the same captions; `first` and `second` are lists of `True` and
# `False`. Write `by_luck(first, second)`: if both settings are equal, so that each caption on which
# exactly one is right is a toss of a fair coin, the exact chance that the first gets **at least as
# many** of these captions as it got. Without such a caption it is 1.


# %% tags=["solution"] exercise="ex_13_luck"
def by_luck(first, second):
    """-> a number from 0 to 1"""
    ### BEGIN SOLUTION
    import math

    mine = sum(a and not b for a, b in zip(first, second))
    tosses = mine + sum(b and not a for a, b in zip(first, second))
    return sum(math.comb(tosses, k) for k in range(mine, tosses + 1)) / 2**tosses
    ### END SOLUTION


# %% tags=["test"] points=3
import math

assert math.isclose(by_luck([True, True, False], [True, False, False]), 0.5)
### BEGIN HIDDEN TESTS
assert by_luck([True], [True]) == 1
assert math.isclose(by_luck([True] * 3 + [False], [False] * 3 + [True]), 5 / 16)
assert math.isclose(by_luck([False] * 3 + [True], [True] * 3 + [False]), 15 / 16)
assert math.isclose(by_luck([True, False, True, True], [False, True, True, True]), 3 / 4)
### END HIDDEN TESTS

# %% [markdown]
# ## A distance without a bias
#
# ★★★★☆ · 25 minutes
#
# The *kernel distance* compares sets of features `a` of `(N, D)` and `b` of `(M, D)`, and fits no
# distribution. The kernel of two rows x and y is `(x y / D + 1) ** 3`, with their inner product.
# Write `kernel_distance(a, b)`: the mean of the kernel over all pairs of *different* rows of a,
# plus the mean over all pairs of different rows of b, less twice the mean over all pairs of a row
# of a and a row of b. Return one number.


# %% tags=["solution"] exercise="ex_13_frechet"
def kernel_distance(a, b):
    """(N, D), (M, D) -> a number"""

    ### BEGIN SOLUTION
    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x):
        every = kernel(x, x)
        return (every.sum() - every.trace()) / (len(x) * (len(x) - 1))

    return within(a) + within(b) - 2 * kernel(a, b).mean()
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

a = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
b = torch.tensor([[2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
assert abs(float(kernel_distance(a, a[:2])) - (2 * (1 + 2 * 1.5**3) / 6 + 1 - 2 * 15.5 / 6)) < 1e-6
### BEGIN HIDDEN TESTS
pairs = 8 + 1 + 1 + 1 + 8 + 1
assert abs(float(kernel_distance(a, b)) - (2 * (1 + 2 * 1.5**3) / 6 + 1 - 2 * pairs / 6)) < 1e-6
generator = torch.Generator().manual_seed(0)
sets = [torch.randn(4, 3, generator=generator).double() for _ in range(4000)]
mean = sum(float(kernel_distance(a, b)) for a, b in zip(sets[::2], sets[1::2])) / 2000
assert abs(mean) < 0.3, "no bias, however small the sets are"
### END HIDDEN TESTS

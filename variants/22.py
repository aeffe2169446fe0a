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
# # 22 · Why this way: second variants
#
# ## How many captions?
#
# ★★☆☆☆ · 10 minutes
#
# Two models are asked the same captions. On a share `apart` of them exactly one of the two is
# right. Write `captions_needed(difference, apart, power=0.8)`: how many captions it takes until a
# true difference of their shares is beyond a two-sided 95 % interval in a share `power` of all
# studies. With `n` captions the standard error of the difference is close to `sqrt(apart / n)`; use
# the normal distribution. Return an integer.


# %% tags=["solution"] exercise="ex_22_seeds"
def captions_needed(difference, apart, power=0.8):
    """-> an integer"""
    ### BEGIN SOLUTION
    import math

    from scipy.stats import norm

    errors = norm.ppf(0.975) + norm.ppf(power)
    return math.ceil(apart * (errors / difference) ** 2)
    ### END SOLUTION


# %% tags=["test"] points=2
assert captions_needed(0.5, 0.5) > 1
### BEGIN HIDDEN TESTS
assert captions_needed(0.03, 0.2) == 1745
assert captions_needed(0.03, 0.2, power=0.5) == 854
assert captions_needed(-0.1, 0.3, power=0.9) == 316
### END HIDDEN TESTS

# %% [markdown]
# ## Rows with seeds of their own
#
# ★★★★☆ · 25 minutes
#
# In another study every variant was trained with seeds of its own, so that the columns of the table
# have nothing in common, and their order within a row means nothing. Write `own_seeds(table)` for a
# NumPy array (V, S), the baseline in its first row: the differences of the rows' means to the first
# one, their common standard error, estimated from all rows together, and the degrees of freedom.


# %% tags=["solution"] exercise="ex_22_blocks"
def own_seeds(table):
    """(V, S) -> (V - 1,), a number, an integer"""
    ### BEGIN SOLUTION
    rows, seeds = table.shape
    rest = table - table.mean(1, keepdims=True)
    free = rows * (seeds - 1)
    means = table.mean(1)
    return means[1:] - means[0], (2 * (rest**2).sum() / free / seeds) ** 0.5, free
    ### END SOLUTION


# %% tags=["test"] points=4
import numpy as np

differences, error, free = own_seeds(np.array([[1.0, 3.0], [5.0, 7.0]]))
assert differences.tolist() == [4.0] and free == 2
### BEGIN HIDDEN TESTS
assert abs(error - 2**0.5) < 1e-9
table = np.array([[1.0, 2.0, 3.0], [2.0, 6.0, 4.0], [0.0, 0.0, 3.0]])
differences, error, free = own_seeds(table)
assert np.allclose(differences, [2, -1]) and free == 6
assert abs(error - (2 * 16 / 6 / 3) ** 0.5) < 1e-9
exchanged = np.array([[3.0, 1.0, 2.0], [2.0, 6.0, 4.0], [0.0, 3.0, 0.0]])
assert np.isclose(own_seeds(exchanged)[1], error)
### END HIDDEN TESTS

# %% [markdown]
# ## A tolerable share of false claims
#
# ★★★☆☆ · 15 minutes
#
# A survey of many rows may contain some false claims, if they are few among the claims it makes.
# Write `discoveries(chances, share=0.1)` after Benjamini and Hochberg: sort the `m` rows by their
# chances, find the largest rank `k`, counted from 1, whose chance is at most `share * k / m`, and
# return the set of names up to this rank, those before it included even where their own chance
# is above their own bound.


# %% tags=["solution"] exercise="ex_22_holm"
def discoveries(chances, share=0.1):
    """{name: chance} -> set of names"""
    ### BEGIN SOLUTION
    order = sorted(chances, key=chances.get)
    ranks = [k for k, name in enumerate(order, 1) if chances[name] <= share * k / len(order)]
    return set(order[: max(ranks, default=0)])
    ### END SOLUTION


# %% tags=["test"] points=3
assert discoveries({"a": 0.5, "b": 0.01}) == {"b"}
### BEGIN HIDDEN TESTS
assert discoveries({"a": 0.06, "b": 0.065, "c": 0.07}) == {"a", "b", "c"}
assert discoveries({"a": 0.02, "b": 0.055, "c": 0.06, "d": 0.9}) == {"a", "b", "c"}
assert discoveries({"a": 0.9}) == set() == discoveries({})
assert discoveries({"a": 0.04, "b": 0.9}, share=0.05) == set()
### END HIDDEN TESTS

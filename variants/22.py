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
# ## One-sided, at one per cent
#
# ★★★☆☆ · 15 minutes
#
# Write `worse(variant, baseline)` for two strings of `1` and `0`, a sign for each caption: whether
# the variant loses more of the captions that tell them apart than a fair coin would in one case of
# a hundred. The test is **one-sided**.

# %% tags=["solution"] exercise="ex_22_worse"
def worse(variant, baseline):
    """Two strings of 0 and 1 -> bool"""
    ### BEGIN SOLUTION
    import math

    won = sum(pair == ("1", "0") for pair in zip(variant, baseline))
    lost = sum(pair == ("0", "1") for pair in zip(variant, baseline))
    apart = won + lost
    return sum(math.comb(apart, k) for k in range(won + 1)) / 2**apart < 0.01
    ### END SOLUTION


# %% tags=["test"] points=3
assert worse("1" * 20, "1" * 20) in (True, False)


### BEGIN HIDDEN TESTS
def pair(won, lost, both):
    return "1" * won + "0" * lost + "1" * both, "0" * won + "1" * lost + "1" * both


assert not worse(*pair(0, 6, 50)) and worse(*pair(0, 7, 50)), "1/64 and 1/128"
assert worse(*pair(1, 10, 9)) and not worse(*pair(1, 9, 9)), "12/2048 and 11/1024"
assert worse(*pair(5, 18, 3)) and not worse(*pair(18, 5, 3))
assert not worse(*pair(0, 0, 40))
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

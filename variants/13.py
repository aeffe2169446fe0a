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

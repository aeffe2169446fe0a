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

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
# # 37 · The data: second variants
#
# ## Saturation
#
# ★★☆☆☆ · 10 minutes
#
# Write `saturation(picture)`: the mean over all pixels of the distance between the largest and the
# smallest channel, from 0 to 1. `picture` is a NumPy array of H × W × 3 whole numbers from 0 to
# 255, of type uint8.

# %% tags=["solution"] exercise="ex_37_entropy"
def saturation(picture):
    """(H, W, 3) uint8 -> a number from 0 to 1"""
    ### BEGIN SOLUTION
    # careful: differences of uint8 wrap around
    levels = picture.astype(float)
    return (levels.max(axis=2) - levels.min(axis=2)).mean() / 255
    ### END SOLUTION


# %% tags=["test"] points=2
import numpy as np

assert saturation(np.full((2, 3, 3), 90, np.uint8)) == 0
### BEGIN HIDDEN TESTS
assert saturation(np.array([[[255, 0, 0], [0, 255, 255]]], np.uint8)) == 1
assert abs(saturation(np.array([[[100, 49, 100], [0, 0, 0]]], np.uint8)) - 0.1) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# ## How many bands?
#
# ★★★☆☆ · 10 minutes
#
# Hashes of `bits` bits are cut into equal bands, and two hashes are compared if they share a band.
# Write `fewest_bands(bits, wrong)`: the fewest bands with which any two hashes that differ in at
# most `wrong` bits are sure to be compared. The number of bands must divide the number of bits;
# return *None* where no number does.


# %% tags=["solution"] exercise="ex_37_candidates"
def fewest_bands(bits, wrong):
    """-> a whole number, or None"""
    ### BEGIN SOLUTION
    # each wrong bit spoils one band, and one more has to be left
    return next((n for n in range(wrong + 1, bits + 1) if bits % n == 0), None)
    ### END SOLUTION


# %% tags=["test"] points=3
assert fewest_bands(64, 3) == 4
### BEGIN HIDDEN TESTS
assert fewest_bands(64, 0) == 1 and fewest_bands(64, 4) == 8 and fewest_bands(60, 6) == 10
assert fewest_bands(64, 64) is None
### END HIDDEN TESTS

# %% [markdown]
# ## Shares of a stream
#
# ★★★★☆ · 15 minutes
#
# Several processes train together on one stream of examples. Write `share_of(order, batch,
# processes, rank, start)`. `order` is the whole order of an epoch, a list; a batch is `batch`
# examples of it, one after the other; of each batch a process takes every `processes`-th example,
# beginning with the one whose place in the batch is its number `rank`. Return what the process has
# left when the first `start` whole batches are done.


# %% tags=["solution"] exercise="ex_37_stream"
def share_of(order, batch, processes, rank, start):
    """-> a list of examples"""
    ### BEGIN SOLUTION
    batches = [order[i : i + batch] for i in range(0, len(order), batch)]
    return [example for each in batches[start:] for example in each[rank::processes]]
    ### END SOLUTION


# %% tags=["test"] points=4
assert share_of(list(range(8)), 4, 2, 1, 0) == [1, 3, 5, 7]
### BEGIN HIDDEN TESTS
assert share_of(list(range(10)), 5, 2, 1, 0) == [1, 3, 6, 8]
assert share_of(list(range(10)), 5, 2, 0, 1) == [5, 7, 9]
assert share_of(list("abcdef"), 4, 3, 0, 2) == []
### END HIDDEN TESTS

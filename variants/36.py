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
# # 36 · Work split over processes: second variants
#
# ## The owner of a row
#
# ★★☆☆☆ · 10 minutes
#
# A tensor of `rows` rows is divided among `processes` as in the chapter. Write `owner_of(row, rows,
# processes)`: the number of the process that holds a row, and the place of the row among those of
# that process.

# %% tags=["solution"] exercise="ex_36_rows"
def owner_of(row, rows, processes):
    """-> (rank, place)"""
    ### BEGIN SOLUTION
    each = -(-rows // processes)
    return divmod(row, each)
    ### END SOLUTION


# %% tags=["test"] points=2
assert owner_of(0, 10, 4) == (0, 0)
### BEGIN HIDDEN TESTS
assert [owner_of(row, 10, 4) for row in (2, 3, 8, 9)] == [(0, 2), (1, 0), (2, 2), (3, 0)]
assert owner_of(4, 5, 4) == (2, 0)
### END HIDDEN TESTS

# %% [markdown]
# ## All-to-all
#
# ★★★☆☆ · 10 minutes
#
# Each of N processes holds a tensor of all rows and its own columns, and wants all columns of its
# own rows. Write `all_to_all(parts)`: from a list of N tensors, whose rows are a multiple of N, to
# a list of N tensors, the first of which has the first rows and the columns of all, in order.


# %% tags=["solution"] exercise="ex_36_scatter"
def all_to_all(parts):
    """N x (N k, c) -> N x (k, N c)"""
    ### BEGIN SOLUTION
    import torch

    return list(torch.cat(list(parts), dim=1).chunk(len(parts)))
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

parts = [torch.arange(8.0).view(4, 2) + 100 * n for n in range(2)]
assert [tuple(part.shape) for part in all_to_all(parts)] == [(2, 4), (2, 4)]
### BEGIN HIDDEN TESTS
assert torch.equal(torch.cat(list(all_to_all(parts))), torch.cat(parts, dim=1))
three = [torch.randn(6, 2) for _ in range(3)]
assert torch.equal(all_to_all(three)[1], torch.cat([part[2:4] for part in three], dim=1))
### END HIDDEN TESTS

# %% [markdown]
# ## The largest model
#
# ★★★★☆ · 15 minutes
#
# A model consists of equal blocks and nothing else, and is trained as in the chapter: five float32
# numbers a weight, divided; two gathered blocks in bf16; the gradients of one block, in bf16 and
# once more in float32. Write `most_blocks(block, memory, processes)`: how many blocks it may have
# at most, 0 if none fits.


# %% tags=["solution"] exercise="ex_36_fewest"
def most_blocks(block, memory, processes):
    """-> a whole number"""
    ### BEGIN SOLUTION
    left = memory - 10 * block
    return int(max(0, left * processes // (20 * block)))
    ### END SOLUTION


# %% tags=["test"] points=4
assert most_blocks(10**9, 5e9, 8) == 0
### BEGIN HIDDEN TESTS
assert most_blocks(339_831_296, 80e9, 8) == 90
assert most_blocks(10**8, 2e9, 1) == 0 and most_blocks(10**8, 3e9, 1) == 1
assert most_blocks(10**8, 3e9, 4) == 4
### END HIDDEN TESTS

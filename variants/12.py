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
# # 12 · Train your own: second variants
#
# ## One level in each bin
#
# ★★☆☆☆ · 10 minutes
#
# Independent levels leave gaps. Write `draw_sigma(count, generator)`, *stratified* uniform levels:
# the interval from 0 to 1 is cut into `count` equal bins, and level number `i` is uniform in bin
# number `i`.

# %% tags=["solution"] exercise="ex_12_sigma"
def draw_sigma(count, generator):
    """count -> (count,), one level in each of `count` equal bins"""
    ### BEGIN SOLUTION
    import torch

    return (torch.arange(count) + torch.rand(count, generator=generator)) / count
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

assert draw_sigma(6, torch.Generator().manual_seed(0)).shape == (6,)
### BEGIN HIDDEN TESTS
drawn = torch.stack([draw_sigma(8, torch.Generator().manual_seed(s)) for s in range(400)])
assert torch.equal((drawn * 8).floor(), torch.arange(8.0).expand(400, 8)), "one in each bin"
inside = drawn * 8 - torch.arange(8)
assert (inside.mean(0) - 0.5).abs().max() < 0.06 and (inside.std(0) - 12**-0.5).abs().max() < 0.04
assert inside[:, 0].sub(inside[:, 1]).abs().mean() > 0.2, "another random number for each bin"
again = draw_sigma(8, torch.Generator().manual_seed(3))
assert torch.equal(again, drawn[3]), "the generator decides"
### END HIDDEN TESTS

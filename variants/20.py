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
# # 20 · Few steps: second variants
#
# ## Every place counts
#
# ★★★☆☆ · 10 minutes
#
# Write `my_loss(student, noise, targets, levels)`: the student walks from `noise` along `levels`, a
# step adding (next level − level) · velocity. `targets` has a place for each step. The loss is the
# mean squared distance over **all** places, each compared with its own target.

# %% tags=["solution"] exercise="ex_20_loss"
def my_loss(student, noise, targets, levels):
    """(B, ...), (steps, B, ...), (steps + 1,) -> ()"""
    ### BEGIN SOLUTION
    x, total = noise, 0
    for target, sigma, sigma_next in zip(targets, levels, levels[1:]):
        x = x + (sigma_next - sigma) * student(x, sigma)
        total = total + (x - target).pow(2).mean()
    return total / len(targets)
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

levels = torch.tensor([1.0, 0.6, 0.3, 0.0])
noise = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
targets = torch.zeros(3, 4, 2)
assert my_loss(lambda x, sigma: x, noise, targets, levels).shape == ()
### BEGIN HIDDEN TESTS
one = torch.ones(4, 2)
loss = my_loss(lambda x, sigma: one, one, targets, levels)
assert abs(loss - (0.6**2 + 0.3**2 + 0) / 3) < 1e-6
seen = []
my_loss(lambda x, sigma: seen.append((x.mean(), sigma)) or one, one, targets, levels)
assert len(seen) == 3 and torch.allclose(torch.stack([s for _, s in seen]), levels[:3])
assert torch.allclose(torch.stack([x for x, _ in seen]), levels[:3]), "where it has arrived"
weight = torch.ones(1, requires_grad=True)
my_loss(lambda x, sigma: weight * x, noise, targets, levels).backward()
assert weight.grad.abs() > 0
### END HIDDEN TESTS

# %% [markdown]
# ## Levels in the middle
#
# ★★☆☆☆ · 5 minutes
#
# Write `my_levels(steps, shift=3.0)`: the middles of `steps` equal bins of the interval from 0 to
# 1, the largest first, shifted as in the chapter, and a 0 after them.


# %% tags=["solution"] exercise="ex_20_lightning"
def my_levels(steps, shift=3.0):
    """steps -> (steps + 1,)"""
    ### BEGIN SOLUTION
    import torch

    s = (torch.arange(steps, 0, -1) - 0.5) / steps
    return torch.cat([shift / (shift + (1 / s - 1)), torch.zeros(1)])
    ### END SOLUTION


# %% tags=["test"] points=2
assert my_levels(4).shape == (5,)
### BEGIN HIDDEN TESTS
import torch

assert torch.allclose(my_levels(2, 1.0), torch.tensor([0.75, 0.25, 0.0]))
assert torch.allclose(my_levels(2), torch.tensor([0.9, 0.5, 0.0]))
assert torch.allclose(my_levels(1, 2.0), torch.tensor([2 / 3, 0.0]))
### END HIDDEN TESTS

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

# %% [markdown]
# ## What the noise would have to be
#
# ★★★★☆ · 25 minutes
#
# Write `pull(student, noise, targets, levels)`: the gradient of a loss by the **noise**, (N, D).
# The loss has a target for each step, (steps, N, D), and is the *sum* over the steps of the mean
# squared difference of where a step ends from its target. Never keep the graph of more than one
# step.


# %% tags=["solution"] exercise="ex_20_gradients"
def pull(student, noise, targets, levels):
    """(N, D), (steps, N, D), (steps + 1,) -> (N, D)"""
    ### BEGIN SOLUTION
    import torch

    x, states = noise, []
    with torch.no_grad():
        for sigma, sigma_next in zip(levels, levels[1:]):
            states.append(x)
            x = x + (sigma_next - sigma) * student(x, sigma)
    ends, back = [*states[1:], x], torch.zeros_like(x)
    for i in reversed(range(len(states))):
        back = back + 2 * (ends[i] - targets[i]) / x.numel()
        leaf = states[i].detach().requires_grad_()
        step = (levels[i + 1] - levels[i]) * student(leaf, levels[i])
        back = back + torch.autograd.grad(step, leaf, back)[0]
    return back
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

source = torch.Generator().manual_seed(0)
matrix, noise = torch.randn(3, 3, generator=source), torch.randn(4, 3, generator=source)
levels, targets = torch.tensor([1.0, 0.7, 0.2, 0.0]), torch.zeros(3, 4, 3)


def student(x, sigma):
    return torch.tanh(x @ matrix) * (1 + sigma)


assert pull(student, noise, targets, levels).shape == noise.shape
### BEGIN HIDDEN TESTS
for count in (1, 3):
    targets = torch.randn(count, 4, 3, generator=source)
    x = leaf = noise.clone().requires_grad_()
    loss = 0
    for target, sigma, sigma_next in zip(targets, levels, levels[1:]):
        x = x + (sigma_next - sigma) * student(x, sigma)
        loss = loss + (x - target).pow(2).mean()
    (right,) = torch.autograd.grad(loss, leaf)
    given = pull(student, noise, targets, levels[: count + 1])
    assert torch.allclose(given, right, atol=1e-6) and not given.requires_grad


class Kept:
    now = most = 0

    def __init__(self, tensor):
        self.tensor = tensor
        Kept.now += 1
        Kept.most = max(Kept.most, Kept.now)

    def __del__(self):
        Kept.now -= 1


with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
    pull(student, noise, targets, levels)
    most, Kept.most = Kept.most, 0
    x = levels[0] * student(noise.clone().requires_grad_(), levels[0])
assert most < 2 * Kept.most, "the graph of one step at a time"
### END HIDDEN TESTS

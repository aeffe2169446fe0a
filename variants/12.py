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

# %% [markdown]
# ## The loss of the clean estimate
#
# ★★☆☆☆ · 10 minutes
#
# Write `my_loss(velocity_of, data, noise, sigma)`: mix data and noise as in the chapter, take the
# **clean estimate** that follows from the velocity of the mixture, and give its mean squared
# distance from the data. `velocity_of(x, sigma)` takes `(B, C, h, w)` and `(B,)`.


# %% tags=["solution"] exercise="ex_12_loss"
def my_loss(velocity_of, data, noise, sigma):
    """A function, two (B, C, h, w), (B,) -> ()"""
    ### BEGIN SOLUTION
    level = sigma.view(-1, 1, 1, 1)
    x = (1 - level) * data + level * noise
    return (x - level * velocity_of(x, sigma) - data).pow(2).mean()
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

generator = torch.Generator().manual_seed(0)
data, noise = torch.randn(2, 3, 2, 4, 5, generator=generator).unbind()
sigma = torch.tensor([0.2, 0.5, 0.9])
assert my_loss(lambda x, sigma: x, data, noise, sigma).shape == ()
### BEGIN HIDDEN TESTS
assert my_loss(lambda x, sigma: noise - data, data, noise, sigma) < 1e-9, "the exact velocity"
distance = (noise - data).pow(2).mean((1, 2, 3))
still = my_loss(lambda x, sigma: torch.zeros_like(x), data, noise, sigma)
assert torch.allclose(still, (sigma**2 * distance).mean(), atol=1e-5), "the zero velocity"
seen = []
my_loss(lambda x, sigma: seen.append((x, sigma)) or x, data, noise, sigma)
((x, level),) = seen
assert torch.allclose(x[1], 0.5 * data[1] + 0.5 * noise[1], atol=1e-6)
assert torch.equal(level, sigma)
### END HIDDEN TESTS

# %% [markdown]
# ## A step from several batches
#
# ★★★★☆ · 30 minutes
#
# Where a batch does not fit into memory, its gradient is gathered from parts. Write
# `my_training(weights, optimiser, loss_at, steps, parts)`. In each of the `steps`, the losses of
# `loss_at(step, part)` for all `parts` are averaged and differentiated, one part at a time, so that
# no two parts are in memory together. Then the norm of all gradients is clipped to 1, the optimiser
# makes one step, and the gradients are cleared. Give the mean loss of each step as a number.


# %% tags=["solution"] exercise="ex_12_train"
def my_training(weights, optimiser, loss_at, steps, parts):
    """Trains the weights in place -> the mean loss of every step, as numbers"""
    ### BEGIN SOLUTION
    import torch

    losses = []
    for step in range(steps):
        total = 0.0
        for part in range(parts):
            loss = loss_at(step, part) / parts
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(total)
    return losses
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

goals = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0)) * 0.3
weight = torch.zeros(4, requires_grad=True)


def loss_at(step, part):
    return (weight - goals[step, part]).pow(2).sum()


losses = my_training([weight], torch.optim.SGD([weight], lr=0.1), loss_at, 3, 2)
assert len(losses) == 3
### BEGIN HIDDEN TESTS
expected, right = torch.zeros(4), []
for step in range(3):
    right.append((expected - goals[step]).pow(2).sum(-1).mean().item())
    gradient = 2 * (expected - goals[step].mean(0))
    expected = expected - 0.1 * gradient / gradient.norm().clamp(min=1)
assert all(isinstance(loss, float) for loss in losses)
assert torch.allclose(torch.tensor(losses), torch.tensor(right), atol=1e-5)
assert torch.allclose(weight.detach(), expected, atol=1e-5)
assert weight.grad is None or not weight.grad.any(), "cleared after the last step"
steep = torch.full((2,), 9.0, requires_grad=True)
my_training([steep], torch.optim.SGD([steep], lr=1.0), lambda s, p: 50 * steep.sum(), 1, 3)
assert torch.allclose(steep.detach(), torch.full((2,), 9.0 - 0.5**0.5), atol=1e-4), "clipped once"
### END HIDDEN TESTS

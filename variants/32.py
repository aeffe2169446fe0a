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
# # 32 · Distillation: second variants
#
# ## From a score to a velocity
#
# ★★☆☆☆ · 10 minutes
#
# Somebody has a network that returns the score at a noise level and wants to sample with Euler
# steps. Write `velocity_of(x, score, sigma)`: x and score are (N, 2), sigma is (N, 1) and below 1.

# %% tags=["solution"] exercise="ex_32_score"
def velocity_of(x, score, sigma):
    """-> (N, 2)"""
    ### BEGIN SOLUTION
    return (-sigma * score - x) / (1 - sigma)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

x, velocity, sigma = torch.randn(5, 2), torch.randn(5, 2), torch.linspace(0.1, 0.9, 5)[:, None]
assert velocity_of(x, x, sigma).shape == (5, 2)
### BEGIN HIDDEN TESTS
score = -(x + (1 - sigma) * velocity) / sigma
assert torch.allclose(velocity_of(x, score, sigma), velocity, atol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# ## The pull, from velocities
#
# ★★★☆☆ · 15 minutes
#
# Write `pull_of(picture, x, fake, teacher, sigma)`: the gradient of distribution matching at each
# of N pictures, (N, D), where `fake` and `teacher` are the two networks' *velocities* at the point
# `x` and level `sigma`, (N, 1). It is scaled as in the chapter, and not divided by N.


# %% tags=["solution"] exercise="ex_32_matching"
def pull_of(picture, x, fake, teacher, sigma):
    """-> (N, D)"""
    ### BEGIN SOLUTION
    clean = x - sigma * teacher
    size = (picture - clean).abs().mean(dim=1, keepdim=True)
    return sigma * (teacher - fake) / size
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

same = torch.randn(4, 3)
assert not pull_of(torch.randn(4, 3), torch.randn(4, 3), same, same, torch.full((4, 1), 0.5)).any()
### BEGIN HIDDEN TESTS
p, x, f, t = torch.randn(4, 6, 3).unbind(0)
sigma = torch.linspace(0.2, 0.8, 6)[:, None]
wanted = (x - sigma * f) - (x - sigma * t)
wanted = wanted / (p - (x - sigma * t)).abs().mean(1, keepdim=True)
assert torch.allclose(pull_of(p, x, f, t, sigma), wanted, atol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# ## A step of the fake
#
# ★★★★☆ · 15 minutes
#
# Write `fake_loss(student, fake, noise, e, sigma)`: the flow matching loss of the fake on what the
# student paints from `noise` in one step from level 1. `e` is the noise on top, (N, 2), `sigma` its
# level, (N, 1). Nothing but the fake may get a gradient. Average over all numbers.


# %% tags=["solution"] exercise="ex_32_student"
def fake_loss(student, fake, noise, e, sigma):
    """-> ()"""
    ### BEGIN SOLUTION
    import torch

    with torch.no_grad():
        picture = noise - student(noise, torch.ones_like(sigma))
    x = (1 - sigma) * picture + sigma * e
    return (fake(x, sigma) - (e - picture)).pow(2).mean()
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

weight = torch.tensor(0.5, requires_grad=True)
noise, e, sigma = torch.randn(6, 2), torch.randn(6, 2), torch.full((6, 1), 0.3)
assert fake_loss(lambda x, s: x, lambda x, s: weight * x, noise, e, sigma).requires_grad
### BEGIN HIDDEN TESTS
# the student's picture is 0 everywhere, so that the velocity is e and x is 0.3 e
value = fake_loss(lambda x, s: x * s, lambda x, s: weight * x, noise, e, sigma)
assert torch.allclose(value, ((0.5 * 0.3 - 1) * e).pow(2).mean(), atol=1e-5)
other = torch.tensor(2.0, requires_grad=True)
assert fake_loss(lambda x, s: other * x, lambda x, s: x, noise, e, sigma).requires_grad is False
### END HIDDEN TESTS

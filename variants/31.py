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
# # 31 · Reward: second variants
#
# ## A step in the other convention
#
# ★★★☆☆ · 20 minutes
#
# Let time $t$ run from 0, noise, to 1, data: the state is `t * data + (1 - t) * noise`, and
# `velocity` is data less noise. The score is then $-(x - t v) / (1 - t)$. Write
# `forward_step(x, velocity, t, t_next, s)`: mean and deviation of the next state of the sampler
# with noise $s$, which adds half a variance times the score.


# %% tags=["solution"] exercise="ex_31_step"
def forward_step(x, velocity, t, t_next, s):
    """-> mean like x, deviation ()"""
    ### BEGIN SOLUTION
    step = t_next - t
    score = -(x - t * velocity) / (1 - t)
    return x + step * (velocity + s**2 / 2 * score), s * step.sqrt()
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

x, v = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 0.25]])
levels = torch.tensor([0.5, 0.75])
assert torch.allclose(forward_step(x, v, *levels, torch.tensor(0.0))[0], x + 0.25 * v)
### BEGIN HIDDEN TESTS
mean, deviation = forward_step(x, v, *levels, torch.tensor(2.0))
assert torch.allclose(mean, torch.tensor([[0.375, 0.1875]]), atol=1e-5)
assert abs(float(deviation) - 1.0) < 1e-6
### END HIDDEN TESTS

# %% [markdown]
# ## Deviations for every dimension
#
# ★★☆☆☆ · 10 minutes
#
# Write `log_density(x, mean, deviations)`: the logarithm of a normal density with independent
# dimensions, each with its own deviation (D,); x and mean are (B, D), and the result (B,) is the
# *sum* over the dimensions.


# %% tags=["solution"] exercise="ex_31_logp"
def log_density(x, mean, deviations):
    """-> (B,)"""
    ### BEGIN SOLUTION
    import math

    distance = ((x - mean) / deviations).pow(2)
    return (-distance / 2 - deviations.log() - math.log(2 * math.pi) / 2).sum(1)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

given = log_density(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(2))
assert torch.allclose(given, torch.tensor([-1.8379]), atol=1e-3)
### BEGIN HIDDEN TESTS
case = torch.randn(5, 3), torch.randn(5, 3), torch.tensor([0.2, 1.0, 3.0])
theirs = torch.distributions.Normal(*case[1:]).log_prob(case[0]).sum(1)
assert torch.allclose(log_density(*case), theirs, atol=1e-4)
### END HIDDEN TESTS

# %% [markdown]
# ## Everybody against the others
#
# ★★☆☆☆ · 10 minutes
#
# Another advantage compares each reward with the mean of the *other* rewards of its group, and
# divides by nothing (RLOO). Write `against_the_others(rewards)`, (G,) to (G,), for at least two.


# %% tags=["solution"] exercise="ex_31_advantages"
def against_the_others(rewards):
    """(G,) -> (G,)"""
    ### BEGIN SOLUTION
    count = len(rewards)
    return rewards - (rewards.sum() - rewards) / (count - 1)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

assert torch.equal(against_the_others(torch.tensor([1.0, 0.0])), torch.tensor([1.0, -1.0]))
### BEGIN HIDDEN TESTS
given = against_the_others(torch.tensor([3.0, 0.0, 0.0, 1.0]))
assert torch.allclose(given, torch.tensor([8 / 3, -4 / 3, -4 / 3, 0.0]), atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## Two bounds
#
# ★★★☆☆ · 15 minutes
#
# Some trainers bound the ratio less tightly above than below. Write `uneven_loss(log_p, old_log_p,
# advantage, low, high)`: as in the chapter, with the bounds `1 - low` and `1 + high`.


# %% tags=["solution"] exercise="ex_31_clip"
def uneven_loss(log_p, old_log_p, advantage, low, high):
    """(G,), (G,), (G,) -> ()"""
    ### BEGIN SOLUTION
    import torch

    ratio = (log_p - old_log_p).exp()
    return -torch.minimum(ratio * advantage, ratio.clamp(1 - low, 1 + high) * advantage).mean()
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

none = torch.zeros(3)
assert torch.allclose(uneven_loss(none, none, torch.ones(3), 0.1, 0.3), torch.tensor(-1.0))
### BEGIN HIDDEN TESTS
ratios = torch.tensor([1.5, 0.5, 1.5, 0.5]).log()
given = uneven_loss(ratios, torch.zeros(4), torch.tensor([1.0, 1.0, -1.0, -1.0]), 0.1, 0.3)
assert torch.allclose(given, torch.tensor(-(1.3 + 0.5 - 1.5 - 0.9) / 4), atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## Unequal widths
#
# ★★★★☆ · 20 minutes
#
# Write `kl_of(mean, deviation, other_mean, other_deviation)`: the KL of two normal distributions,
# of the first from the second, for numbers: $\log \frac{s_2}{s_1} + \frac{s_1^2 + (m_1 - m_2)^2}{2
# s_2^2} - \frac12$. All four are tensors (B,).


# %% tags=["solution"] exercise="ex_31_kl"
def kl_of(mean, deviation, other_mean, other_deviation):
    """-> (B,)"""
    ### BEGIN SOLUTION
    distance = deviation**2 + (mean - other_mean) ** 2
    return (other_deviation / deviation).log() + distance / (2 * other_deviation**2) - 0.5
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

two = torch.ones(2)
assert torch.allclose(kl_of(two, two, 0 * two, two), torch.tensor([0.5, 0.5]))
### BEGIN HIDDEN TESTS
case = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0]), torch.zeros(2), torch.tensor([1.5, 1.0])
first, second = (torch.distributions.Normal(*case[i : i + 2]) for i in (0, 2))
theirs = torch.distributions.kl_divergence(first, second)
assert torch.allclose(kl_of(*case), theirs, atol=1e-5)
### END HIDDEN TESTS

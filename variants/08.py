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
# # 08 · The shifted sampler: second variants
#
# ## A step from the clean estimate
#
# ★★☆☆☆ · 10 minutes
#
# Some networks predict the clean data instead of the velocity. Write
# `my_step(x, clean, sigma, sigma_next)`: the same Euler step, from `x` and the clean estimate at
# `sigma`, in the type of `clean`. The levels are tensors of one number.


# %% tags=["solution"] exercise="ex_08_step"
def my_step(x, clean, sigma, sigma_next):
    """(B, I, D), (B, I, D), (), () -> (B, I, D)"""
    ### BEGIN SOLUTION
    velocity = (x - clean) / sigma
    return (x + (sigma_next - sigma) * velocity).to(clean.dtype)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

x, clean = torch.randn(2, 1, 3, 4, generator=torch.Generator().manual_seed(0)).unbind()
assert my_step(x, clean, torch.tensor(0.8), torch.tensor(0.4)).shape == x.shape
### BEGIN HIDDEN TESTS
noise = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(1))
for sigma, after in ((0.9, 0.3), (0.5, 0.0), (1.0, 0.99)):
    levels = torch.tensor(sigma), torch.tensor(after)
    step = my_step((1 - sigma) * clean + sigma * noise, clean, *levels)
    assert torch.allclose(step, (1 - after) * clean + after * noise, atol=1e-5), "on the path"
half = my_step(x, clean.bfloat16(), torch.tensor(0.8), torch.tensor(0.4))
assert half.dtype == torch.bfloat16
### END HIDDEN TESTS

# %% [markdown]
# ## From the shift to the size
#
# ★★☆☆☆ · 5 minutes
#
# Write `tokens_of(mu)`: the number of image tokens, rounded to a whole number, at which the
# official line gives `mu`. The line passes 0.5 at 256 tokens and 0.9 at 8,192.


# %% tags=["solution"] exercise="ex_08_mu"
def tokens_of(mu):
    """Image tokens at which the line gives mu."""
    ### BEGIN SOLUTION
    return round(256 + (mu - 0.5) * (8192 - 256) / (0.9 - 0.5))
    ### END SOLUTION


# %% tags=["test"] points=2
assert tokens_of(0.5) == 256
### BEGIN HIDDEN TESTS
assert tokens_of(0.9) == 8192
assert tokens_of(0.7) == 4224
assert tokens_of(0.4) == -1728, "the line has no clamp"
### END HIDDEN TESTS

# %% [markdown]
# ## Levels from a lower start
#
# ★★☆☆☆ · 5 minutes
#
# Write `my_stretch(levels, start)`: noise levels that fall from 1, all multiplied by one factor so
# that the first becomes `start`. A 0 stays a 0, and the argument stays as it is.


# %% tags=["solution"] exercise="ex_08_stretch"
def my_stretch(levels, start):
    """(steps,), start -> (steps,)"""
    ### BEGIN SOLUTION
    return levels * (start / levels[0])
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

assert my_stretch(torch.tensor([1.0, 0.5, 0.0]), 0.8).shape == (3,)
### BEGIN HIDDEN TESTS
levels = torch.tensor([0.9, 0.6, 0.3, 0.0])
before = levels.clone()
assert torch.allclose(my_stretch(levels, 0.6), torch.tensor([0.6, 0.4, 0.2, 0.0]))
assert torch.equal(levels, before)
### END HIDDEN TESTS

# %% [markdown]
# ## A schedule for the last steps
#
# ★★★☆☆ · 10 minutes
#
# Write `my_sigmas(steps, shift, strength)`, the levels of image to image with a few-step model:
# `steps` even levels from 1 on, shifted by `shift` itself, not stretched, and a 0 behind them; of
# the steps only the last ones are taken, a share of `strength`, where the number that is skipped is
# rounded down.


# %% tags=["solution"] exercise="ex_08_sigmas"
def my_sigmas(steps, shift, strength):
    """-> the levels of the steps that are taken, down to 0"""
    ### BEGIN SOLUTION
    import torch

    even = torch.linspace(1, 1 / steps, steps)
    levels = torch.cat([shift / (shift + (1 / even - 1)), torch.zeros(1)])
    return levels[int(steps - steps * strength) :]
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

assert my_sigmas(4, 3.0, 1.0).shape == (5,)
### BEGIN HIDDEN TESTS
assert torch.allclose(my_sigmas(4, 3.0, 1.0), torch.tensor([1, 0.9, 0.75, 0.5, 0]), atol=1e-6)
assert torch.allclose(my_sigmas(4, 3.0, 0.5), torch.tensor([0.75, 0.5, 0]), atol=1e-6)
assert torch.allclose(my_sigmas(2, 1.0, 1.0), torch.tensor([1, 0.5, 0]), atol=1e-6), "no shift"
assert len(my_sigmas(10, 2.0, 0.9)) == 10 and len(my_sigmas(10, 2.0, 0.25)) == 4
### END HIDDEN TESTS

# %% [markdown]
# ## Rescaled by the deviation
#
# ★★★☆☆ · 10 minutes
#
# Lin et al. (2023) rescale guidance otherwise. Write `my_guide(cond, uncond, scale, phi)`: combine
# as in the chapter, multiply each picture of the batch `(B, I, C)` by the ratio of the standard
# deviations of `cond` and of the combination, taken over all of its numbers, and mix: `phi` times
# the rescaled velocity and `1 - phi` times the combined one.


# %% tags=["solution"] exercise="ex_08_guide"
def my_guide(cond, uncond, scale, phi):
    """(B, I, C), (B, I, C) -> (B, I, C)"""
    ### BEGIN SOLUTION
    combined = uncond + scale * (cond - uncond)
    ratio = cond.std(dim=(1, 2), keepdim=True) / combined.std(dim=(1, 2), keepdim=True)
    return phi * combined * ratio + (1 - phi) * combined
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

cond, uncond = torch.randn(2, 3, 7, 5, generator=torch.Generator().manual_seed(0)).unbind()
assert my_guide(cond, uncond, 4.0, 0.7).shape == cond.shape
### BEGIN HIDDEN TESTS
combined = uncond + 3 * (cond - uncond)
assert torch.allclose(my_guide(cond, uncond, 3, 0), combined, atol=1e-5)
full = my_guide(cond, uncond, 3, 1)
for b in range(3):
    right = combined[b] * cond[b].std() / combined[b].std()
    assert torch.allclose(full[b], right, atol=1e-4)
half = my_guide(cond, uncond, 3, 0.25)
assert torch.allclose(half, 0.25 * full + 0.75 * combined, atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## The loop of Heun
#
# ★★★★☆ · 25 minutes
#
# **Heun's method** follows the bend of a trajectory. A step goes to the next level by Euler,
# computes the velocity there, too, and goes from where the step began along the mean of both
# velocities. To the level 0 it goes by Euler alone. Write
# `my_loop(network, x, levels, text)`, where `network(x, time, text)` gives the velocity of `x`
# (B, I, D) at times (B,); give `x` at the end.


# %% tags=["solution"] exercise="ex_08_loop"
def my_loop(network, x, levels, text):
    """(B, I, D), (steps + 1,) -> (B, I, D)"""
    ### BEGIN SOLUTION
    for sigma, sigma_next in zip(levels, levels[1:]):
        step, velocity = sigma_next - sigma, network(x, sigma.expand(len(x)), text)
        if sigma_next > 0:
            there = x + step * velocity
            velocity = (velocity + network(there, sigma_next.expand(len(x)), text)) / 2
        x = x + step * velocity
    return x
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

x, levels = torch.ones(2, 3, 4), torch.tensor([1.0, 0.6, 0.3, 0.0])
assert my_loop(lambda x, time, text: x, x, levels, "text").shape == x.shape
### BEGIN HIDDEN TESTS
calls = []


def network(x, time, text):
    calls.append((time, text))
    return time.view(-1, 1, 1) * torch.ones_like(x)


end = my_loop(network, x, levels, "text")
assert [round(time[0].item(), 4) for time, _ in calls] == [1, 0.6, 0.6, 0.3, 0.3]
assert all(time.shape == (2,) and text == "text" for time, text in calls)
right = 1 - 0.4 * 0.8 - 0.3 * 0.45 - 0.3 * 0.3
assert torch.allclose(end, torch.full_like(x, right), atol=1e-6)
fine = my_loop(lambda x, time, text: x, x, torch.linspace(1, 0, 65), "")
assert (fine - (-torch.ones(())).exp()).abs().max() < 1e-3, "the exponential, of second order"
assert torch.equal(x, torch.ones(2, 3, 4))
### END HIDDEN TESTS

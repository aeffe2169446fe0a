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
# # 30 · Preference: second variants
#
# ## The loss of scores
#
# ★★☆☆☆ · 10 minutes
#
# A judge gives each picture a score, and a pair has two: `winner` and `loser`, tensors (B,). Write
# `bradley_terry(winner, loser)`: minus the logarithm of the probability that the winner wins, where
# that probability is the sigmoid of the difference of the scores; the mean over the pairs. It must
# stay finite for any scores.


# %% tags=["solution"] exercise="ex_30_loss"
def bradley_terry(winner, loser):
    """(B,), (B,) -> ()"""
    ### BEGIN SOLUTION
    import torch.nn.functional as F

    return -F.logsigmoid(winner - loser).mean()
    ### END SOLUTION


# %% tags=["test"] points=2
import math

import torch

assert abs(bradley_terry(torch.ones(3), torch.ones(3)).item() - math.log(2)) < 1e-6
### BEGIN HIDDEN TESTS
assert bradley_terry(torch.tensor([2.0]), torch.tensor([0.0])) < 0.13
apart = bradley_terry(torch.zeros(2), torch.tensor([1.0, -1.0]))
assert abs(apart.item() - 0.81326) < 1e-4
assert torch.isfinite(bradley_terry(torch.tensor([0.0]), torch.tensor([500.0])))
### END HIDDEN TESTS

# %% [markdown]
# ## Noise that is predicted
#
# ★★★☆☆ · 10 minutes
#
# An older model predicts the noise and not the velocity. Its pictures are `alpha * data + s *
# noise`. Write `noise_errors(noise_of, winner, loser, noise, alpha, s)`: data and noise are (B, D),
# `alpha` and `s` (B,), and `noise_of(x, s)` gives (B, D). Return two (B,): the mean squared errors
# of the predicted noise of winner and loser.


# %% tags=["solution"] exercise="ex_30_errors"
def noise_errors(noise_of, winner, loser, noise, alpha, s):
    """-> (B,), (B,)"""

    ### BEGIN SOLUTION
    def error(data):
        x = alpha[:, None] * data + s[:, None] * noise
        return (noise_of(x, s) - noise).pow(2).mean(1)

    return error(winner), error(loser)
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

one, other, drawn = torch.ones(2, 3), torch.zeros(2, 3), torch.full((2, 3), 2.0)
mixed = torch.tensor([0.6, 1.0]), torch.tensor([0.8, 0.0])
assert noise_errors(lambda x, s: x, one, other, drawn, *mixed)[0].shape == (2,)
### BEGIN HIDDEN TESTS
first, second = noise_errors(lambda x, s: x, one, other, drawn, *mixed)
assert torch.allclose(first, torch.tensor([0.04, 1.0]), atol=1e-5)
assert torch.allclose(second, torch.tensor([0.16, 4.0]), atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## A loss that stops pulling
#
# ★★★★☆ · 15 minutes
#
# IPO replaces the logarithm by a square: the loss of a pair is $(h - 1 / (2 t))^2$, where $h$ is
# the reference's difference of errors less the policy's, and $t$ a number above 0. Write
# `ipo_pull(winner, loser, ref_winner, ref_loser, t)`: for each pair the derivative of its loss with
# respect to the winner's error, (B,).


# %% tags=["solution"] exercise="ex_30_pull"
def ipo_pull(winner, loser, ref_winner, ref_loser, t):
    """-> (B,)"""
    ### BEGIN SOLUTION
    h = (ref_winner - ref_loser) - (winner - loser)
    return -2 * (h - 1 / (2 * t))
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

zero = torch.zeros(2)
assert torch.allclose(ipo_pull(zero, zero, zero, zero, 0.5), torch.tensor([2.0, 2.0]))
### BEGIN HIDDEN TESTS
four = [torch.tensor([value, 1.0]) for value in (0.5, 2.0, 1.0, 1.5)]
assert torch.allclose(ipo_pull(*four, 0.25), torch.tensor([2.0, 4.0]))
### END HIDDEN TESTS

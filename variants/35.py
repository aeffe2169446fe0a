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
# # 35 · A law: second variants
#
# ## The floor, from the others
#
# ★★★★☆ · 25 minutes
#
# N points of D numbers are a sample of a distribution, all equally likely. Each is mixed with its
# own noise, `x = (1 - sigma) * point + sigma * noise`. Write `from_the_others(points, sigma,
# noise)`, with points and noise of `(N, D)`: the loss of the velocity whose estimate of a point is
# the posterior mean over all points *but this one*. Return the mean over points and numbers.


# %% tags=["solution"] exercise="ex_35_floor"
def from_the_others(points, sigma, noise):
    """(N, D), noise (N, D) -> ()"""
    ### BEGIN SOLUTION
    import torch

    x = (1 - sigma) * points + sigma * noise
    apart = (x[:, None] - (1 - sigma) * points).square().sum(-1)
    apart = apart.masked_fill(torch.eye(len(points), dtype=torch.bool), torch.inf)
    estimate = (-apart / (2 * sigma**2)).softmax(1) @ points
    return ((points - estimate) / sigma).square().mean()
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

two = torch.tensor([[-1.0], [1.0]])
assert torch.isclose(from_the_others(two, 0.5, torch.zeros(2, 1)), torch.tensor(16.0))
### BEGIN HIDDEN TESTS
assert torch.isclose(from_the_others(two, 0.25, torch.ones(2, 1)), torch.tensor(64.0))
three = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 4.0]])
noise = torch.tensor([[0.5, -1.0], [0.0, 2.0], [1.0, 1.0]])
assert torch.isclose(from_the_others(three, 0.5, noise), torch.tensor(14.4003), atol=1e-3)
far = torch.cat([torch.zeros(1, 600), torch.ones(2, 600)])
assert from_the_others(far, 0.1, torch.zeros(3, 600)).isfinite()
### END HIDDEN TESTS

# %% [markdown]
# ## The work of a picture
#
# ★★☆☆☆ · 15 minutes
#
# Write `painting_flops(width, blocks, image_tokens, text_tokens, empty_tokens, steps)`: the
# floating-point operations of all blocks while one picture is painted with classifier-free
# guidance. Each step runs the transformer once with the caption's `text_tokens` and once with the
# `empty_tokens` of the negative prompt. Count matrices, attention and modulation of both streams,
# as the chapter does; nothing is trained.


# %% tags=["solution"] exercise="ex_35_flops"
def painting_flops(width, blocks, image_tokens, text_tokens, empty_tokens, steps):
    """-> an integer"""
    ### BEGIN SOLUTION
    total = 0
    for S in (image_tokens + text_tokens, image_tokens + empty_tokens):
        total += 24 * S * width**2 + 4 * S**2 * width + 24 * width**2
    return steps * blocks * total
    ### END SOLUTION


# %% tags=["test"] points=2
assert painting_flops(10, 1, 4, 0, 0, 1) == 2 * (24 * 400 + 4 * 160 + 2400)
### BEGIN HIDDEN TESTS
assert painting_flops(10, 1, 4, 3, 1, 1) == 24 * 1200 + 4 * 740 + 2 * 2400
assert painting_flops(7, 5, 9, 2, 1, 3) == 15 * (24 * 21 * 49 + 4 * 221 * 7 + 48 * 49)
### END HIDDEN TESTS

# %% [markdown]
# ## The floor, from three losses
#
# ★★★☆☆ · 15 minutes
#
# Three training runs need compute C, rC and r²C, and their losses are exactly `E + A / C**alpha`.
# Write `from_three(losses, ratio)`, with the three losses in this order and `ratio` for r: return
# the floor E and the exponent alpha. No library is needed.


# %% tags=["solution"] exercise="ex_35_excess"
def from_three(losses, ratio):
    """-> (E, alpha)"""
    ### BEGIN SOLUTION
    import math

    first, second, third = losses
    # the two gains are in the ratio r ** alpha, and so are the excesses
    power = (first - second) / (second - third)
    return first - (first - second) * power / (power - 1), math.log(power) / math.log(ratio)
    ### END SOLUTION


# %% tags=["test"] points=3
import math

E, alpha = from_three([3.0, 2.0, 1.5], 4.0)
assert math.isclose(E, 1.0) and math.isclose(alpha, 0.5)
### BEGIN HIDDEN TESTS
E, alpha = from_three([0.2 + 5 * c**-0.3 for c in (7.0, 70.0, 700.0)], 10.0)
assert math.isclose(E, 0.2, rel_tol=1e-6) and math.isclose(alpha, 0.3, rel_tol=1e-6)
E, alpha = from_three([0.6 + 1 / c for c in (2.0, 6.0, 18.0)], 3.0)
assert math.isclose(E, 0.6, rel_tol=1e-6) and math.isclose(alpha, 1.0, rel_tol=1e-6)
### END HIDDEN TESTS

# %% [markdown]
# ## The least budget
#
# ★★★☆☆ · 15 minutes
#
# `curves` has for each size a tuple of points `(compute, loss)`, in rising compute and with falling
# losses. Between two points, the logarithm of the loss is a straight line over the logarithm of
# compute. Write `least_budget(curves, loss)`: the size that reaches this loss with the least
# compute, and that compute; of equals the first. A size that only has smaller losses, or only
# larger ones, does not count, and without any size the answer is None.


# %% tags=["solution"] exercise="ex_35_best"
def least_budget(curves, loss):
    """-> (size, compute) or None"""
    ### BEGIN SOLUTION
    import math

    best = None
    for size, points in curves.items():
        for (less, above), (more, below) in zip(points, points[1:]):
            if below <= loss <= above:
                along = math.log(loss / above) / math.log(below / above)
                compute = less * (more / less) ** along
                if best is None or compute < best[1]:
                    best = size, compute
    return best
    ### END SOLUTION


# %% tags=["test"] points=3
import math

size, compute = least_budget({"a": ((1.0, 4.0), (100.0, 1.0))}, 2.0)
assert size == "a" and math.isclose(compute, 10.0)
### BEGIN HIDDEN TESTS
both = {"b": ((1.0, 9.0), (4.0, 3.0), (64.0, 1.0)), "c": ((2.0, 4.0), (32.0, 0.5))}
assert least_budget(both, 0.2) is None and least_budget(both, 10.0) is None
size, compute = least_budget(both, 3.0)
assert size == "c" and math.isclose(compute, 2 * 16 ** (math.log(0.75) / math.log(0.125)))
assert least_budget(both, 9.0) == ("b", 1.0) and least_budget(both, 0.5)[0] == "c"
assert least_budget({"d": both["b"], "e": both["b"]}, 3.0)[0] == "d"
### END HIDDEN TESTS

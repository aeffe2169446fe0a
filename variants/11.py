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
# # 11 · Gallery of wrong answers: second variants
#
# ## Rules of a step
#
# ★★★☆☆ · 20 minutes
#
# `step(x, velocity, sigma, sigma_next)` moves x `(B, I, C)` along a velocity of this shape, from
# one noise level to the next, and returns the new x. Write `broken_rules(step, x, velocity,
# tolerance)`: the set of the names of those rules that it breaks.
#
# * `"still"`: from 0.7 to 0.7, x stays as it is.
# * `"halves"`: from 0.8 to 0.5 and from there to 0.2, both along the same velocity, is as far as
#   from 0.8 to 0.2.
# * `"direction"`: from 1 to 0 with the velocity `x - 2`, everything becomes 2.
#
# Two tensors are the same if they differ by at most `tolerance` everywhere.


# %% tags=["solution"] exercise="ex_11_rules"
def broken_rules(step, x, velocity, tolerance):
    """-> set of names"""

    ### BEGIN SOLUTION
    def differs(a, b):
        return bool((a - b).abs().max() > tolerance)

    broken = set()
    if differs(step(x, velocity, 0.7, 0.7), x):
        broken.add("still")
    halves = step(step(x, velocity, 0.8, 0.5), velocity, 0.5, 0.2)
    if differs(halves, step(x, velocity, 0.8, 0.2)):
        broken.add("halves")
    if differs(step(x, x - 2, 1.0, 0.0), 0 * x + 2):
        broken.add("direction")
    return broken
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

generator = torch.Generator().manual_seed(0)
x, velocity = (torch.randn(2, 3, 4, generator=generator) for _ in range(2))


def euler(x, velocity, sigma, sigma_next):
    return x + (sigma_next - sigma) * velocity


assert broken_rules(euler, x, velocity, 1e-5) == set()
### BEGIN HIDDEN TESTS
turned = lambda x, v, s, t: x + (s - t) * v  # noqa: E731
assert broken_rules(turned, x, velocity, 1e-5) == {"direction"}
once = lambda x, v, s, t: x - 1.0 * v  # noqa: E731
assert broken_rules(once, x, velocity, 1e-5) == {"still", "halves"}
squared = lambda x, v, s, t: x - (s - t) ** 2 * v  # noqa: E731
assert broken_rules(squared, x, velocity, 1e-5) == {"halves"}
nothing = lambda x, v, s, t: x.clone()  # noqa: E731
assert broken_rules(nothing, x, velocity, 1e-5) == {"direction"}
rough = lambda x, v, s, t: x + (t - s) * v + 0.01  # noqa: E731
assert broken_rules(rough, x, velocity, 0.05) == set()
assert broken_rules(rough, x, velocity, 1e-3) == {"still", "halves", "direction"}
### END HIDDEN TESTS

# %% [markdown]
# ## The first number that is too large
#
# ★★★★☆ · 30 minutes
#
# Write `first_beyond(network, inputs, limit)`: call `network(*inputs)` once, without gradients, and
# return the dotted name and the number of the call, counted from 1, of the first module, in the
# order in which modules return, of which an output has a number that is not finite or whose
# absolute value is more than `limit`; None if there is none. An output is a tensor or a tuple of
# tensors, and modules may be called several times. No hook may stay behind.


# %% tags=["solution"] exercise="ex_11_first"
def first_beyond(network, inputs, limit):
    """-> (name, number of the call), or None"""
    ### BEGIN SOLUTION
    import torch

    found, calls, hooks = [], {}, []

    def hook(name):
        def look(module, given, output):
            calls[name] = calls.get(name, 0) + 1
            every = output if isinstance(output, tuple) else (output,)
            if not all(bool((each.abs() <= limit).all()) for each in every):
                found.append((name, calls[name]))

        return look

    for name, module in network.named_modules():
        hooks.append(module.register_forward_hook(hook(name)))
    with torch.no_grad():
        network(*inputs)
    for each in hooks:
        each.remove()
    return found[0] if found else None
    ### END SOLUTION


# %% tags=["test"] points=4
import torch


class Twice(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.first = torch.nn.Identity(), torch.nn.Identity()

    def forward(self, x):
        x = self.last(10 * self.first(x))
        return self.first(10 * x), x


network = Twice()
assert first_beyond(network, (torch.ones(2),), 5) == ("last", 1)
### BEGIN HIDDEN TESTS
assert first_beyond(network, (-torch.ones(2),), 50) == ("first", 2)
assert first_beyond(network, (torch.ones(2),), 100) is None
assert first_beyond(network, (torch.tensor([1.0, torch.nan]),), 1000) == ("first", 1)
assert first_beyond(torch.nn.Sequential(network), (torch.ones(2),), 50) == ("0.first", 2)
assert not any(module._forward_hooks for module in network.modules())
### END HIDDEN TESTS

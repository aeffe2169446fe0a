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
# # 03 · A language model as a reader: second variants
#
# ## Attention with a window
#
# ★★★☆☆ · 15 minutes
#
# Write `window_attention(q, k, v, window)`, `(B, H, T, K)` each and a number, to `(B, H, T, K)`:
# every token attends to itself and to the `window - 1` tokens before it, and to no other.

# %% tags=["solution"] exercise="ex_03_gqa"
def window_attention(q, k, v, window):
    """(B, H, T, K) x 3 -> (B, H, T, K)"""
    ### BEGIN SOLUTION
    import torch

    T, K = q.shape[-2:]
    back = torch.arange(T)[:, None] - torch.arange(T)
    scores = q @ k.transpose(-1, -2) / K**0.5
    return scores.masked_fill((back < 0) | (back >= window), -torch.inf).softmax(-1) @ v
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

q, k, v = torch.randn(3, 2, 3, 7, 5, generator=torch.Generator().manual_seed(0)).unbind()
assert window_attention(q, k, v, 3).shape == (2, 3, 7, 5)
### BEGIN HIDDEN TESTS
assert torch.allclose(window_attention(q, k, v, 1), v, atol=1e-6), "with window 1, itself alone"
full = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
assert torch.allclose(window_attention(q, k, v, 7), full, atol=1e-5)
three = window_attention(q, k, v, 3)
last = (q[:, :, 6:] @ k[:, :, 4:].transpose(-1, -2) / 5**0.5).softmax(-1) @ v[:, :, 4:]
assert torch.allclose(three[:, :, 6:], last, atol=1e-5)
assert torch.allclose(three[:, :, :3], full[:, :, :3], atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## The prompt's states alone
#
# ★☆☆☆☆ · 5 minutes
#
# Write `prompt_states(text_encoder, ids, start, closing)`: the states of the prompt alone, without
# the `start` tokens of the template before it and without the `closing` tokens after it. Every
# state must have seen the template.


# %% tags=["solution"] exercise="ex_03_drop"
def prompt_states(text_encoder, ids, start, closing):
    """(B, T) ids -> (B, T - start - closing, D)"""
    ### BEGIN SOLUTION
    states = text_encoder(ids)
    return states[:, start : states.shape[1] - closing]
    ### END SOLUTION


# %% tags=["test"] points=1
import torch


def running_sum(ids):
    """An encoder whose states show how much of the text came before them."""
    return ids.cumsum(1)[..., None].float()


assert prompt_states(running_sum, torch.arange(12).view(1, 12), 4, 3).shape == (1, 5, 1)
### BEGIN HIDDEN TESTS
ids = torch.arange(1, 21).view(2, 10)
assert torch.equal(prompt_states(running_sum, ids, 3, 2), running_sum(ids)[:, 3:8])
assert torch.equal(prompt_states(running_sum, ids, 3, 0), running_sum(ids)[:, 3:])
### END HIDDEN TESTS

# %% [markdown]
# ## The norm of another language model
#
# ★☆☆☆☆ · 5 minutes
#
# Gemma stores the weights of its RMSNorm around 0 instead of around 1. Write `rms_norm(x, weight,
# eps)`, `(..., D)` and `(D,)` to `(..., D)`, with `1 + weight` in place of the weight, and return
# zeros, not NaN, for a vector of zeros even where `eps` is 0.


# %% tags=["solution"] exercise="ex_03_norm"
def rms_norm(x, weight, eps):
    """(..., D), (D,) -> (..., D)"""
    ### BEGIN SOLUTION
    mean_square = x.pow(2).mean(-1, keepdim=True) + eps
    root = mean_square.sqrt().masked_fill(mean_square == 0, 1)
    return (1 + weight) * x / root
    ### END SOLUTION


# %% tags=["test"] points=1
import torch

x, weight = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)), torch.zeros(8)
assert rms_norm(x, weight, 1e-6).shape == x.shape
### BEGIN HIDDEN TESTS
weight = torch.arange(8.0) / 8
for eps in (1e-6, 0.5):
    right = torch.nn.functional.rms_norm(x, (8,), 1 + weight, eps)
    assert torch.allclose(rms_norm(x, weight, eps), right, atol=1e-5)
assert torch.equal(rms_norm(torch.zeros(2, 8), weight, 0), torch.zeros(2, 8))
### END HIDDEN TESTS

# %% [markdown]
# ## A part of the head
#
# ★★☆☆☆ · 10 minutes
#
# Some language models rotate only a part of each head. Write `rotary(x, places, theta, part)`,
# where `x` has shape `(B, H, T, K)`: the first `part` numbers of each head are turned, number `i`
# with number `i + part/2`, by the angle `place * theta ** (-2i / part)`; the others stay.


# %% tags=["solution"] exercise="ex_03_rotary"
def rotary(x, places, theta, part):
    """(B, H, T, K), (T,) -> (B, H, T, K)"""
    ### BEGIN SOLUTION
    import torch

    angle = torch.outer(places, theta ** -(torch.arange(0, part, 2) / part))
    a, b, rest = x[..., : part // 2], x[..., part // 2 : part], x[..., part:]
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos, rest], dim=-1)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

x = torch.randn(2, 3, 5, 12, generator=torch.Generator().manual_seed(0))
places = torch.arange(5) + 2.0
assert rotary(x, places, 100.0, 8).shape == x.shape
### BEGIN HIDDEN TESTS
given = rotary(x, places, 100.0, 8)
assert torch.equal(given[..., 8:], x[..., 8:]), "the rest stays"
speeds = torch.tensor([1, 100**-0.25, 100**-0.5, 100**-0.75])
turn = torch.polar(torch.ones(5, 4), places[:, None] * speeds)
z = torch.complex(x[..., :4], x[..., 4:8]) * turn
assert torch.allclose(given[..., :8], torch.cat([z.real, z.imag], -1), atol=1e-5)
assert torch.allclose(rotary(x, places, 100.0, 2)[..., 2:], x[..., 2:])
### END HIDDEN TESTS

# %% [markdown]
# ## Another gate
#
# ★★☆☆☆ · 5 minutes
#
# Write `gated_mlp(y, gate_up, down)` for a GeGLU: `gate_up`, `(2 F, D)`, holds the gate's rows
# above those of the other matrix, the activation is GELU in its exact form, and `down` is `(D, F)`.


# %% tags=["solution"] exercise="ex_03_mlp"
def gated_mlp(y, gate_up, down):
    """(B, T, D), (2 F, D), (D, F) -> (B, T, D)"""
    ### BEGIN SOLUTION
    import torch

    g, u = (y @ gate_up.T).chunk(2, dim=-1)
    return (torch.nn.functional.gelu(g) * u) @ down.T
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

draw = torch.Generator().manual_seed(0)
y, gate_up = torch.randn(2, 3, 5, generator=draw), torch.randn(14, 5, generator=draw)
down = torch.randn(5, 7, generator=draw)
assert gated_mlp(y, gate_up, down).shape == y.shape
### BEGIN HIDDEN TESTS
wide = y @ gate_up.T
normal = torch.distributions.Normal(0, 1)
right = (wide[..., :7] * normal.cdf(wide[..., :7]) * wide[..., 7:]) @ down.T
assert torch.allclose(gated_mlp(y, gate_up, down), right, atol=1e-4)
### END HIDDEN TESTS

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

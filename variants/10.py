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
# # 10 · LoRA: second variants
#
# ## Rank-stabilised
#
# ★★☆☆☆ · 10 minutes
#
# *rsLoRA* divides alpha by the square root of the rank. Write `lora_linear(x, W, b, A, B, alpha)`
# with that scale: `(N, in)`, `(out, in)`, `(out,)`, `(r, in)`, `(out, r)` and a number, to `(N,
# out)`.

# %% tags=["solution"] exercise="ex_10_lora"
def lora_linear(x, W, b, A, B, alpha):
    """(N, in) -> (N, out)"""
    ### BEGIN SOLUTION
    return x @ W.T + b + alpha / len(A) ** 0.5 * (x @ A.T) @ B.T
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

generator = torch.Generator().manual_seed(0)
shapes = ((5, 3), (4, 3), (4,), (2, 3), (4, 2))
x, W, b, A, B = (torch.randn(*shape, generator=generator) for shape in shapes)
assert lora_linear(x, W, b, A, B, 8.0).shape == (5, 4)
### BEGIN HIDDEN TESTS
right = torch.nn.functional.linear(x, W + 8.0 / 2**0.5 * B @ A, b)
assert torch.allclose(lora_linear(x, W, b, A, B, 8.0), right, atol=1e-4)
assert torch.equal(lora_linear(x, W, b, A, torch.zeros_like(B), 8.0), x @ W.T + b)
### END HIDDEN TESTS

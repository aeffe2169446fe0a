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
# # 06 · One MMDiT block: second variants
#
# ## The norm after the sublayer
#
# ★★☆☆☆ · 10 minutes
#
# Write `residual(x, shift, scale, gate, part)` with the norm *behind* the sublayer: scale and shift
# `x` as it is, pass it through `part`, normalise the result over its last axis (no weights, eps
# 1e-6), multiply by the gate, add it to `x`.

# %% tags=["solution"] exercise="ex_06_modulation"
def residual(x, shift, scale, gate, part):
    """(B, S, D), 3 x (B, 1, D), part: (B, S, D) -> (B, S, D)"""
    ### BEGIN SOLUTION
    import torch.nn.functional as F

    out = part(x * (1 + scale) + shift)
    return x + gate * F.layer_norm(out, out.shape[-1:], eps=1e-6)
    ### END SOLUTION


# %% tags=["test"] points=2
import torch

generator = torch.Generator().manual_seed(0)
x, shift, scale, gate = (torch.randn(2, n, 6, generator=generator) for n in (5, 1, 1, 1))
assert residual(x, shift, scale, gate, torch.tanh).shape == x.shape
### BEGIN HIDDEN TESTS
before = x.clone()
out = torch.tanh(x * (1 + scale) + shift)
deviation = (out.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
right = x + gate * (out - out.mean(-1, keepdim=True)) / deviation
assert torch.allclose(residual(x, shift, scale, gate, torch.tanh), right, atol=1e-4)
assert torch.equal(residual(x, shift, scale, 0 * gate, torch.tanh), x)
assert torch.equal(x, before), "x stays as it is"
### END HIDDEN TESTS

# %% [markdown]
# ## Text that does not look at the picture
#
# ★★★☆☆ · 10 minutes
#
# Qwen-Image 2.x lets text attend to text alone, so that its keys and values can be computed once
# for all steps. Write `joint(txt, img)` for two triples of queries, keys and values, `(B, T, H, K)`
# and `(B, I, H, K)`: image tokens attend to all tokens, text tokens to text tokens. Give `(B, T,
# D)` and `(B, I, D)`.


# %% tags=["solution"] exercise="ex_06_joint"
def joint(txt, img):
    """Two triples (q, k, v) -> (B, T, D), (B, I, D)"""
    ### BEGIN SOLUTION
    import torch

    def attend(q, k, v):
        logits = torch.einsum("bshk,brhk->bhsr", q, k) / q.shape[-1] ** 0.5
        return torch.einsum("bhsr,brhk->bshk", logits.softmax(-1), v).flatten(2)

    both = (torch.cat(pair, dim=1) for pair in zip(txt[1:], img[1:]))
    return attend(*txt), attend(img[0], *both)
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

generator = torch.Generator().manual_seed(0)
txt = [torch.randn(2, 3, 2, 5, generator=generator) for _ in range(3)]
img = [torch.randn(2, 4, 2, 5, generator=generator) for _ in range(3)]
assert [tuple(part.shape) for part in joint(txt, img)] == [(2, 3, 10), (2, 4, 10)]


### BEGIN HIDDEN TESTS
def reference(q, k, v):
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2).flatten(2)


both = [torch.cat(pair, dim=1) for pair in zip(txt, img)]
given = joint(txt, img)
assert torch.allclose(given[0], reference(*txt), atol=1e-5), "text attends to text alone"
assert torch.allclose(given[1], reference(img[0], *both[1:]), atol=1e-5)
### END HIDDEN TESTS

# %% [markdown]
# ## Padding behind the picture
#
# ★★★☆☆ · 15 minutes
#
# Write `attend(q, k, v, real)` for a stream in which the **image comes first** and the text after
# it: `(B, H, I + T, K)` each, and `real`, `(B, T)`, true where a text token is no padding.


# %% tags=["solution"] exercise="ex_06_mask"
def attend(q, k, v, real):
    """3 x (B, H, I + T, K), (B, T) -> (B, H, I + T, K)"""
    ### BEGIN SOLUTION
    import torch
    import torch.nn.functional as F

    seen = F.pad(real, (k.shape[2] - real.shape[1], 0), value=True)
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return logits.masked_fill(~seen[:, None, None], -torch.inf).softmax(-1) @ v
    ### END SOLUTION


# %% tags=["test"] points=3
import torch

q, k, v = torch.randn(3, 2, 3, 9, 5, generator=torch.Generator().manual_seed(0)).unbind()
real = torch.tensor([[True, True, True, False], [True, False, False, False]])
assert attend(q, k, v, real).shape == q.shape
### BEGIN HIDDEN TESTS
answer = attend(q, k, v, real)
for b, kept in enumerate((8, 6)):
    weights = (q[b] @ k[b, :, :kept].transpose(-1, -2) / 5**0.5).softmax(-1)
    assert torch.allclose(answer[b], weights @ v[b, :, :kept], atol=1e-5)
### END HIDDEN TESTS

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

# %% [markdown]
# ## How much rank is needed
#
# ★★★★☆ · 30 minutes
#
# `A` is `(R, in)`, `B` is `(out, R)`, and R is at most in and out. Write `least_rank(A, B, share)`:
# the least rank, from 1 to R, at which a matrix of this rank can keep at least the `share` (from 0
# to 1) of the squared sum of `B A`. Here a matrix keeps 1 less the sum of its squared differences
# to `B A`, over the squared sum of `B A`. No tensor of yours may be larger than the larger of A and
# B.


# %% tags=["solution"] exercise="ex_10_squeezed"
def least_rank(A, B, share):
    """(R, in), (out, R), a number -> an integer"""
    ### BEGIN SOLUTION
    import torch

    left, right = torch.linalg.qr(B).R, torch.linalg.qr(A.T).R
    squares = torch.linalg.svdvals(left @ right.T).square()
    kept = squares.cumsum(0) / squares.sum()
    return 1 + int((kept < share - 1e-6).sum())
    ### END SOLUTION


# %% tags=["test"] points=4
import torch

generator = torch.Generator().manual_seed(0)
A, B = torch.randn(3, 8, generator=generator), torch.randn(5, 3, generator=generator)
assert 1 <= least_rank(A, B, 0.5) <= 3
### BEGIN HIDDEN TESTS
squares = torch.linalg.svdvals(B @ A)[:3].square()
for rank in (1, 2, 3):
    share = (squares[:rank].sum() / squares.sum()).item()
    assert least_rank(A, B, share - 0.001) == rank
    assert least_rank(A, B, share + 0.001) == rank + 1 or rank == 3
# careful: the product is decomposed, not one of the two
A, B = torch.diag(torch.tensor([9.0, 1.0])), torch.diag(torch.tensor([1.0, 9.0]))
assert least_rank(A, B, 0.5) == 1 and least_rank(A, B, 0.51) == 2
A, B = torch.ones(4, 20_000), torch.ones(30_000, 4)
assert least_rank(A, B, 0.999) == 1
### END HIDDEN TESTS

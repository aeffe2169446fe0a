"""Which tolerance a test in bfloat16 holds: every bit, where both sides run the same kernels."""

import platform

import torch

# careful: on other processors one kernel may round two calls differently (seen on none so far);
# there each stage has the bound that users' own comparisons have
SAME_KERNELS = platform.machine().lower() in ("x86_64", "amd64")


def entry(name: str, dtype: torch.dtype) -> str:
    """The entry of the table for a stage `name` with kernels of its own on either side."""
    return f"{name} bf16" if dtype == torch.bfloat16 else name


def exact_entry(name: str, dtype: torch.dtype) -> str:
    """The same for a stage in which both sides call the same kernels in the same order."""
    exact = dtype == torch.bfloat16 and SAME_KERNELS
    return "same kernels bf16" if exact else entry(name, dtype)

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
# # 07 · Sixty blocks: second variants
#
# ## Some rows of a tensor
#
# ★★★☆☆ · 15 minutes
#
# Write `load_rows(file, name, first, last)`: rows `first` to `last - 1` of a tensor of float32 or
# float16 in a safetensors file, as a NumPy array of float32. Use `struct`, `json` and NumPy alone,
# and read none of the tensor's other rows.

# %% tags=["solution"] exercise="ex_07_tensor"
def load_rows(file, name, first, last):
    """Rows first to last - 1 of a tensor in a safetensors file, as float32."""
    ### BEGIN SOLUTION
    import json
    import struct

    import numpy as np

    with open(file, "rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        entry = json.loads(opened.read(length))[name]
        rows, *rest = entry["shape"]
        start, stop = entry["data_offsets"]
        row = (stop - start) // rows
        opened.seek(8 + length + start + first * row)
        content = opened.read((last - first) * row)
    kind = {"F32": "<f4", "F16": "<f2"}[entry["dtype"]]
    return np.frombuffer(content, kind).reshape(last - first, *rest).astype(np.float32)
    ### END SOLUTION


# %% tags=["test"] points=3
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

generator = torch.Generator().manual_seed(0)
tensors = {"a": torch.randn(3, generator=generator), "b": torch.randn(6, 2, 5, generator=generator)}
folder = tempfile.TemporaryDirectory()
file = Path(folder.name, "some.safetensors")
save_file(tensors | {"c": tensors["b"].half()}, file)
assert load_rows(file, "b", 1, 3).shape == (2, 2, 5)
### BEGIN HIDDEN TESTS
for name in ("a", "b", "c"):
    expected = tensors["b" if name == "c" else name]
    expected = expected.half().float() if name == "c" else expected
    for first, last in ((0, 1), (1, 3), (0, 3)):
        rows = load_rows(file, name, first, last)
        assert rows.dtype == "float32"
        assert torch.equal(torch.tensor(rows), expected[first:last]), (name, first, last)
### END HIDDEN TESTS

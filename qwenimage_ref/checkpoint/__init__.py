"""The official directory layout on disk: find, check, fill, save, verify, forge."""

import torch
from torch import nn

from ..files import CheckpointError
from .fill import fill, open_official
from .save import save
from .shards import index_json
from .stored_form import fingerprint
from .verify import verify

__all__ = ["CheckpointError", "fingerprint", "index_json", "load_into", "save", "verify"]


def load_into(module: nn.Module, source, dtype: torch.dtype | None = None, unused=()) -> None:
    """Fill a module, on the meta device or not, from a folder or from a list of .safetensors files.

    Strict: every stored key must be there with its shape, and no other, except below the prefixes
    in `unused`, which are left on disk on purpose. Files may be bf16, fp16 or fp32; `dtype` None
    keeps what they hold. Raises CheckpointError; the module is then unchanged.
    """
    fill(module, open_official(source, unused), dtype)

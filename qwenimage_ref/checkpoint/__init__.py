"""The official directory layout on disk: find, check, fill, save, verify, forge."""

from ..files import CheckpointError
from .save import load_into, save
from .stored_form import fingerprint, index_json
from .verify import verify

__all__ = ["CheckpointError", "fingerprint", "index_json", "load_into", "save", "verify"]

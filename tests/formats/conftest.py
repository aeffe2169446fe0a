"""Fixtures of this room: the models that are stored, and the files that hold them."""

from pathlib import Path

import pytest
from helpers import gguf_files
from helpers.single_files import POCKET, loaded
from helpers.tiny_model import TINY

from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.formats.gguf import save_gguf
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights


@pytest.fixture
def file(tmp_path) -> Path:
    """Where a test writes its checkpoint."""
    return tmp_path / "qwen.safetensors"


@pytest.fixture
def model() -> MMDiT:
    """A small transformer that a test may change."""
    return random_weights(gguf_files.empty(), seed=0)


@pytest.fixture
def stored(model, tmp_path) -> Path:
    """The small transformer in Q8_0."""
    save_gguf(model, tmp_path / "model.gguf")
    return tmp_path / "model.gguf"


@pytest.fixture(scope="module")
def forged(tmp_path_factory) -> Path:
    """The tiny model in the official layout, a file for each part."""
    folder = tmp_path_factory.mktemp("forged") / "model"
    forge(folder, TINY)
    return folder


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory) -> Path:
    """The pocket's transformer in Q8_0."""
    file = tmp_path_factory.mktemp("gguf") / "model.gguf"
    save_gguf(loaded(POCKET, "transformer"), file, "Q8_0")
    return file

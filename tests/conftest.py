"""What every test needs before torch and the Hugging Face libraries are imported."""

import os
import sys
from pathlib import Path

import pytest

# careful: read at import. One thread each, because two test processes share two cores; offline,
# because a test that needs the network fails on somebody's train.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder that holds a good `Net` of small_net.py."""
    from helpers.small_net import network

    from qwenimage_ref.checkpoint import save

    save(network(), tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def sharded(tmp_path, monkeypatch, request) -> Path:
    """The same in three shards."""
    monkeypatch.setattr(sys.modules["qwenimage_ref.checkpoint.save"], "SHARD_BYTES", 64)
    return request.getfixturevalue("folder")

"""Fixtures that several rooms share."""

import sys
from pathlib import Path

import pytest


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

"""Official files are looked for in three places, in order, and never downloaded."""

import shutil
from pathlib import Path

import pytest

from qwenimage_ref.checkpoint import locate


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("QWENIMAGE_OFFICIAL", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(locate, "BESIDE", tmp_path / "beside")
    return tmp_path


def test_official_files_that_are_nowhere_are_none(nowhere):
    assert locate.find("tokenizer") is None


def test_official_files_are_found_in_the_named_folder_first(nowhere, monkeypatch):
    cached = nowhere / "hub" / "models--Qwen--Qwen-Image" / "snapshots" / "1" / "tokenizer"
    for folder in (cached, nowhere / "beside" / "tokenizer"):
        folder.mkdir(parents=True)
    assert locate.find("tokenizer") == cached
    monkeypatch.setenv("QWENIMAGE_OFFICIAL", str(nowhere / "named"))
    assert locate.find("tokenizer") == cached
    (nowhere / "named" / "tokenizer").mkdir(parents=True)
    assert locate.find("tokenizer") == nowhere / "named" / "tokenizer"
    shutil.rmtree(nowhere / "named")
    shutil.rmtree(cached)
    assert locate.find("tokenizer") == nowhere / "beside" / "tokenizer"

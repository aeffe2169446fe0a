"""Official files are looked for in three places, in order, and never downloaded."""

import shutil
from pathlib import Path

import pytest

from qwenimage_ref import official


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("QWENIMAGE_OFFICIAL", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(official, "BESIDE", tmp_path / "beside")
    return tmp_path


def test_official_files_that_are_nowhere_are_none(nowhere):
    assert official.find("tokenizer") is None


def test_official_files_are_found_in_the_named_folder_first(nowhere, monkeypatch):
    cached = nowhere / "hub" / "models--Qwen--Qwen-Image" / "snapshots" / "1" / "tokenizer"
    for folder in (cached, nowhere / "beside" / "tokenizer"):
        folder.mkdir(parents=True)
    assert official.find("tokenizer") == cached
    monkeypatch.setenv("QWENIMAGE_OFFICIAL", str(nowhere / "named"))
    assert official.find("tokenizer") == cached
    (nowhere / "named" / "tokenizer").mkdir(parents=True)
    assert official.find("tokenizer") == nowhere / "named" / "tokenizer"
    shutil.rmtree(nowhere / "named")
    shutil.rmtree(cached)
    assert official.find("tokenizer") == nowhere / "beside" / "tokenizer"

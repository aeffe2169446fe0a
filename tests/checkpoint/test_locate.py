"""Official files: the named folder first, then the hub's cache, and never a download."""

import os
import time
from pathlib import Path

import pytest
from huggingface_hub import snapshot_download

from qwenimage_ref.checkpoint import locate

MAIN, OTHER = "a" * 40, "b" * 40


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> Path:
    """A machine without official files; its hub cache is the folder `hub`."""
    monkeypatch.delenv("QWENIMAGE_OFFICIAL", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def cached(cache: Path, hub_id: str, revision: str = MAIN, main: str = MAIN) -> Path:
    """The snapshot of a model in a cache, with a model_index.json."""
    repository = cache / ("models--" + hub_id.replace("/", "--"))
    snapshot = repository / "snapshots" / revision
    for folder in (snapshot, repository / "refs"):
        folder.mkdir(parents=True, exist_ok=True)
    (snapshot / "model_index.json").write_text("{}")
    (repository / "refs" / "main").write_text(main)
    return snapshot


def test_official_files_that_are_nowhere_are_none(nowhere):
    assert locate.find("tokenizer") is None


def test_official_files_of_the_cache_are_found(nowhere):
    snapshot = cached(nowhere / "hub", "Qwen/Qwen-Image-2512")
    assert locate.find("model_index.json") == snapshot / "model_index.json"
    assert locate.find("tokenizer") is None


def test_the_named_folder_comes_before_the_cache_where_it_has_the_part(nowhere, monkeypatch):
    snapshot, named = cached(nowhere / "hub", "Qwen/Qwen-Image"), nowhere / "named"
    monkeypatch.setenv("QWENIMAGE_OFFICIAL", str(named))
    assert locate.find("model_index.json") == snapshot / "model_index.json"
    named.mkdir()
    (named / "model_index.json").write_text("{}")
    assert locate.find("model_index.json") == named / "model_index.json"


def test_a_folder_is_itself(nowhere):
    assert locate.resolve(nowhere) == nowhere


@pytest.mark.parametrize(
    "name", ["some/model", "/no/such/folder", "a b/c", "~", "~nobody/x", "x" * 300, "a/b/c"]
)
def test_what_is_neither_folder_nor_cached_is_one_line(nowhere, monkeypatch, name):
    monkeypatch.setenv("HOME", str(nowhere / "no home"))
    with pytest.raises(FileNotFoundError, match="is neither a folder nor a model in the local"):
        locate.resolve(name)


@pytest.mark.parametrize("disturbance", ["newer revision", "begun download", ".DS_Store", "none"])
def test_of_several_snapshots_refs_main_decides_as_in_the_hub_s_own_library(nowhere, disturbance):
    hub = nowhere / "hub"
    snapshot = cached(hub, "some/model")
    os.utime(snapshot, (time.time() - 999,) * 2)
    if disturbance == "newer revision":
        cached(hub, "some/model", OTHER)
    elif disturbance == "begun download":
        (snapshot.parent / OTHER).mkdir()
    elif disturbance == ".DS_Store":
        (snapshot.parent / ".DS_Store").write_bytes(b"x")
    assert locate.resolve("some/model") == snapshot
    assert str(snapshot) == snapshot_download("some/model", local_files_only=True)


def test_a_main_that_is_not_downloaded_is_not_replaced_by_another_revision(nowhere):
    cached(nowhere / "hub", "some/model", OTHER, main=MAIN)
    with pytest.raises(FileNotFoundError):
        locate.resolve("some/model")

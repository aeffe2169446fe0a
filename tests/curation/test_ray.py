"""A local Ray cluster of two workers: the same results as without it, also when one is killed."""

import os
import sys
import types
import warnings
from pathlib import Path

import pytest
import torch
from helpers.shard_work import Note, begun, results
from PIL import Image

from qwenimage_ref.curation import steps
from qwenimage_ref.curation.filters import POSTERS
from qwenimage_ref.curation.workers import Local, RayData, WorkError
from qwenimage_ref.posters.draw import second_poster
from qwenimage_ref.repository import POCKET

ray = pytest.importorskip("ray")
ITEMS = ["a", "b", "c", "d"]
ALL = {item: f"result of {item}" for item in ITEMS}


@pytest.fixture(scope="module")
def cluster():
    """One cluster for all cases: starting it takes longest"""
    workers = RayData(2)
    with pytest.MonkeyPatch.context() as patch:
        # the workers import the helpers, too, and pytest tells its own process alone where they are
        paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        with workers._cluster(ray):
            yield workers


def done(cluster, work) -> list[str]:
    return sorted(result["item"] for result in cluster.map(work, ITEMS))


def test_every_item_is_done_once(cluster, tmp_path):
    assert done(cluster, Note(str(tmp_path))) == ITEMS
    assert sorted(begun(tmp_path)) == ITEMS and results(tmp_path) == ALL


def test_a_worker_killed_in_the_middle_loses_nothing_and_doubles_nothing(cluster, tmp_path):
    assert done(cluster, Note(str(tmp_path), dies="b")) == ITEMS
    assert results(tmp_path) == ALL
    assert begun(tmp_path).count("b") == 2


def test_nothing_that_ray_will_remove_is_asked_of_it(cluster, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        done(cluster, Note(str(tmp_path)))
    lines = [str(each.message) for each in caught]
    assert [line for line in lines if "ray" in line.lower() and "removed" in line] == []


@pytest.fixture
def one_thread():
    """As many as a worker of Ray has: threads decide how sums are split and rounded"""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_posters_are_measured_and_encoded_to_the_bytes_of_one_process(
    cluster, tmp_path, one_thread
):
    (tmp_path / "data").mkdir()
    for seed in range(4):
        _, pixels, caption = second_poster(seed, size=(96, 96) if seed % 2 else (128, 128))
        Image.fromarray(pixels).save(tmp_path / "data" / f"{seed}.png")
        (tmp_path / "data" / f"{seed}.txt").write_text(caption, encoding="utf-8")
    shards = tmp_path / "shards"
    steps.pack(tmp_path / "data", shards, 2)
    files = []
    for name, workers in (("local", Local()), ("ray", cluster)):
        filtered, encoded = (tmp_path / name / step for step in ("filtered", "encoded"))
        filtered.mkdir(parents=True)
        summary = steps.filtered(shards, filtered, POSTERS, "posters", workers=workers)
        assert summary["kept"] == 4
        assert steps.encode(shards, filtered, encoded, POCKET, (96 * 96,), workers=workers) == 4
        files.append(contents(tmp_path / name))
    written = {f"{step}/00000{number}.{ending}" for number in range(2) for step, ending in (
        ("filtered/measured", "jsonl"), ("encoded", "tar"),
    )}  # fmt: skip
    assert written <= files[0].keys() and files[0] == files[1]


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_an_error_of_a_worker_is_its_own_line(cluster, tmp_path):
    with pytest.raises(WorkError, match="^c is damaged; copy it again$"):
        done(cluster, Note(str(tmp_path), fails="c"))


def test_a_worker_without_memory_is_one_line(cluster, tmp_path):
    with pytest.raises(WorkError, match="c: a worker has no memory left; use fewer workers"):
        done(cluster, Note(str(tmp_path), full="c"))


def test_an_item_over_which_every_worker_dies_ends_in_one_line(cluster, tmp_path):
    with pytest.raises(WorkError, match="killed 3 times over b, .*fewer workers.*continues"):
        done(cluster, Note(str(tmp_path), dies="b", always=True))
    assert begun(tmp_path).count("b") == 3


def test_what_a_worker_cannot_import_is_named(cluster, tmp_path, monkeypatch):
    elsewhere = types.ModuleType("a_module_of_this_process")
    elsewhere.Work = type("Work", (Note,), {"__module__": elsewhere.__name__})
    monkeypatch.setitem(sys.modules, elsewhere.__name__, elsewhere)
    missing = "could not begin .*No module named 'a_module_of_this_process'.*same packages for all$"
    with pytest.raises(WorkError, match=missing):
        done(cluster, elsewhere.Work(str(tmp_path)))

"""A local Ray cluster of two workers: the same results as without it, also when one is killed."""

import os
import sys
import types
from pathlib import Path

import pytest
from helpers.shard_work import Note, begun, results

from qwenimage_ref.curation.workers import RayData, WorkError

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


def test_an_error_of_a_worker_is_its_own_line(cluster, tmp_path):
    with pytest.raises(WorkError, match="^c is damaged; copy it again$"):
        done(cluster, Note(str(tmp_path), fails="c"))


def test_a_worker_without_memory_is_one_line(cluster, tmp_path):
    with pytest.raises(WorkError, match="c: a worker has no memory left; use fewer workers"):
        done(cluster, Note(str(tmp_path), full="c"))


def test_an_item_over_which_every_worker_dies_ends_in_one_line(cluster, tmp_path):
    with pytest.raises(WorkError, match="killed 3 times over .*fewer workers.*continues"):
        done(cluster, Note(str(tmp_path), dies="b", always=True))


def test_what_a_worker_cannot_import_is_named(cluster, tmp_path, monkeypatch):
    elsewhere = types.ModuleType("a_module_of_this_process")
    elsewhere.Work = type("Work", (Note,), {"__module__": elsewhere.__name__})
    monkeypatch.setitem(sys.modules, elsewhere.__name__, elsewhere)
    missing = "could not begin .*No module named 'a_module_of_this_process'.*same packages for all$"
    with pytest.raises(WorkError, match=missing):
        done(cluster, elsewhere.Work(str(tmp_path)))

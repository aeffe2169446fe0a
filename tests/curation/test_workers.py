"""Workers of this machine: all items once, whoever dies, and one line for what cannot be done."""

import sys

import pytest
from helpers.shard_work import Note, begun, results

from qwenimage_ref.curation.workers import Local, RayData, WorkError
from qwenimage_ref.extras import MissingLibraryError

ITEMS = ["a", "b", "c", "d"]
ALL = {item: f"result of {item}" for item in ITEMS}


def done(work, processes: int) -> list[str]:
    return sorted(result["item"] for result in Local(processes).map(work, ITEMS))


def test_one_process_does_the_items_in_their_order(tmp_path):
    assert done(Note(str(tmp_path)), 1) == ITEMS
    assert begun(tmp_path) == ITEMS


def test_two_processes_do_every_item_once(tmp_path):
    assert done(Note(str(tmp_path)), 2) == ITEMS
    assert sorted(begun(tmp_path)) == ITEMS and results(tmp_path) == ALL


def test_a_worker_killed_in_the_middle_loses_nothing_and_doubles_nothing(tmp_path):
    assert done(Note(str(tmp_path), dies="b"), 2) == ITEMS
    assert results(tmp_path) == ALL
    assert begun(tmp_path).count("b") == 2


def test_an_item_over_which_every_worker_dies_ends_in_one_line(tmp_path):
    with pytest.raises(WorkError, match="killed 3 times over .*b.*fewer workers.*continues"):
        done(Note(str(tmp_path), dies="b", always=True), 2)
    assert results(tmp_path).get("b") is None


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_is_its_own_line(tmp_path, processes):
    with pytest.raises(WorkError, match="^c is damaged; copy it again$"):
        done(Note(str(tmp_path), fails="c"), processes)


def test_a_worker_without_memory_is_one_line_and_what_is_finished_stays(tmp_path):
    with pytest.raises(WorkError, match="c: a worker has no memory left; use fewer workers"):
        done(Note(str(tmp_path), full="c"), 1)
    assert results(tmp_path).keys() == {"a", "b"}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("taker", ["python", "torch"])
def test_a_worker_that_the_system_gives_no_more_memory_is_the_same_line(tmp_path, taker):
    with pytest.raises(WorkError, match="^c: a worker has no memory left; use fewer workers"):
        done(Note(str(tmp_path), full="c", taker=taker), 2)
    assert "c" not in results(tmp_path)


def test_no_process_at_all_is_refused():
    with pytest.raises(ValueError, match="processes must be at least 1, got 0"):
        Local(0)


def test_without_ray_its_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingLibraryError, match=r"qwenimage_ref\[ray\]"):
        RayData(2)

"""What a run keeps on disk: one process at a time, a log, and nothing half written."""

import contextlib
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from helpers.full_disk import files_of_at_most
from test_loop import RECIPE, logged, small_run

from qwenimage_ref.train import loop
from qwenimage_ref.train.run_folder import RunError, RunFolder

# -- one process at a time ------------------------------------------------------------------------

HOLD = """
import sys, time
from qwenimage_ref.train.run_folder import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


@contextlib.contextmanager
def another_process(folder: Path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "locked\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_process_is_refused_in_one_line_until_the_first_is_killed(tmp_path):
    run, loss_at = small_run(tmp_path)
    with another_process(tmp_path) as process:
        with pytest.raises(RunError, match=f"is in use by process {process.pid}") as refused:
            run.fit(loss_at)
        assert "\n" not in str(refused.value) and run.step == 0
        assert not run.log_file.exists() and not run.state_file.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        run.fit(loss_at)
    assert run.step == RECIPE.steps


def test_the_holder_of_a_lock_may_enter_it_again_and_leaves_it_in_the_end(tmp_path):
    folder = RunFolder(tmp_path)
    with folder.locked(), folder.locked(), pytest.raises(RunError, match="is in use"):
        RunFolder(tmp_path).locked().__enter__()
    with RunFolder(tmp_path).locked():
        pass


def test_a_run_whose_state_another_one_has_replaced_since_is_refused(tmp_path):
    (first, loss_at), (second, _) = small_run(tmp_path), small_run(tmp_path)
    first.fit(loss_at, until=2)
    with pytest.raises(RunError, match="was written by another run since"):
        second.fit(loss_at)


def test_what_a_kill_left_unfinished_is_removed_at_the_next_start(tmp_path):
    (tmp_path / "unfinished").mkdir()
    for name in ("state.safetensors", ".tmpAb12Cd"):
        (tmp_path / "unfinished" / name).write_bytes(b"half")
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, until=1)
    assert not (tmp_path / "unfinished").exists()


# -- the log --------------------------------------------------------------------------------------


def test_the_log_of_a_run_killed_before_its_first_state_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, until=6)
    run.state_file.unlink()
    again, loss_at = small_run(tmp_path)
    again.fit(loss_at, until=4)
    assert [line["step"] for line in logged(tmp_path)] == [2, 4]


@pytest.mark.parametrize("line", ["{", "[2]", "7", '{"step": "2"}', '{"step": 2.5}', "[" * 10**5])
def test_a_damaged_line_inside_the_log_is_dropped_with_a_warning(tmp_path, monkeypatch, line):
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, until=4)
    first, second = run.log_file.read_text().splitlines()
    run.log_file.write_text(f"{first}\n{line}\n{second}\n")
    again, loss_at = small_run(tmp_path)
    with pytest.warns(UserWarning, match=r"damaged lines were dropped \(number 2\)"):
        again.fit(loss_at)
    assert [line["step"] for line in logged(tmp_path)] == [2, 4, 6, 8, 10]


def test_a_whole_log_is_continued_without_a_warning(tmp_path):
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, until=4)
    again, loss_at = small_run(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again.fit(loss_at)
    assert [line["step"] for line in logged(tmp_path)] == [4, 10]


# -- a full disk ----------------------------------------------------------------------------------


def test_a_disk_that_is_full_when_the_state_is_written_leaves_the_one_before(tmp_path):
    run, loss_at = small_run(tmp_path)
    run.fit(loss_at, until=4)
    before = run.state_file.read_bytes()
    with files_of_at_most(1000), pytest.raises(RunError, match="cannot be written.*make room"):
        run.fit(loss_at, quiet=True)
    assert run.state_file.read_bytes() == before
    names = ["lock", "log.csv", "log.jsonl", "state.safetensors"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    again, loss_at = small_run(tmp_path)
    again.fit(loss_at)
    assert [line["step"] for line in logged(tmp_path)] == [4, 10]


def test_a_disk_that_is_full_when_the_log_is_written_is_one_line(tmp_path):
    run, loss_at = small_run(tmp_path)
    with files_of_at_most(10), pytest.raises(RunError, match="log.jsonl cannot be written"):
        run.fit(loss_at, quiet=True)  # the bar would be written to a file, too


def test_a_run_s_folder_may_be_new_at_any_depth_or_old(tmp_path):
    for _ in range(2):
        assert RunFolder(tmp_path / "runs" / "lora").path.is_dir()


def test_the_lock_names_its_process_and_leftovers_go_when_it_is_taken(tmp_path):
    folder = RunFolder(tmp_path)
    (tmp_path / "lock").write_text("123456789 of an earlier run")
    (tmp_path / "unfinished").mkdir()
    with folder.locked():
        assert (tmp_path / "lock").read_text() == str(os.getpid())
        assert not (tmp_path / "unfinished").exists()

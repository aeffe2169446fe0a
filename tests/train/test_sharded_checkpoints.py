"""Checkpoints of a divided run: whole or not there, read by any number of processes, or refused."""

import dataclasses
import json
import os
import shutil
import signal

import pytest
from helpers import divided, several_processes
from helpers.divided import RECIPE
from helpers.nets import SMALL
from safetensors.torch import load_file

from qwenimage_ref.train.sharded import checkpoints

CLOSE = 2e-5  # sums are rounded in another order


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return divided.written_model(tmp_path_factory.mktemp("weights"))


def until(processes, weights, runs, step):
    return divided.train(processes, weights, runs, until=step)


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory, weights):
    """A run of two processes, stopped after five of its ten steps"""
    runs = tmp_path_factory.mktemp("stopped")
    several_processes.call(2, until, weights, runs, 5)
    return runs


@pytest.fixture
def stopped(stopped_run, tmp_path):
    shutil.copytree(stopped_run, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory, weights):
    runs = tmp_path_factory.mktemp("whole")
    several_processes.call(1, divided.train, weights, runs)
    return exported(runs)


def exported(runs):
    return load_file(runs / "out" / "diffusion_pytorch_model.safetensors")


def names(runs):
    return sorted(path.name for path in (runs / "steps").iterdir())


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_run_of_two_processes_goes_on_with_another_number(size, stopped, weights, whole_run):
    several_processes.call(size, divided.train, weights, stopped)
    ours = exported(stopped)
    assert max((ours[n] - t).abs().max().item() for n, t in whole_run.items()) <= CLOSE
    assert names(stopped) == ["000010"]


def test_a_finished_run_has_nothing_left_to_do(stopped, weights):
    several_processes.call(2, until, weights, stopped, 5)
    assert several_processes.call(1, until, weights, stopped, 5) == [1.0]
    assert names(stopped) == ["000005"]


def test_a_checkpoint_has_a_file_of_each_process_and_no_pickle(stopped):
    files = sorted(path.name for path in (stopped / "steps" / "000005").iterdir())
    assert [name.split("-model")[0] for name in files] == [
        "shard-00001",
        "shard-00002",
        "state.json",
    ]
    assert all(name.endswith((".safetensors", ".json")) for name in files)


def killed_while_saving(processes, weights, runs):
    """The second process is killed (-9) before its file of step 5 is on the disk."""
    divided.train(processes, weights, runs, until=4)
    if processes.rank == 1:
        kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
        checkpoints.HuggingFaceStorageWriter.write_data = kill
    return divided.train(processes, weights, runs, until=5)


def test_a_process_killed_while_saving_leaves_the_checkpoint_before(tmp_path, weights, whole_run):
    runs = tmp_path / "runs"
    children = several_processes.start(2, killed_while_saving, weights, runs)
    children[1][0].join(60)
    assert children[1][0].exitcode == -signal.SIGKILL
    children[0][0].kill()
    children[0][0].join()
    assert names(runs) == ["000004"] and list((runs / "unfinished").iterdir())
    several_processes.call(2, divided.train, weights, runs)
    assert names(runs) == ["000010"] and not (runs / "unfinished").exists()
    ours = exported(runs)
    assert max((ours[n] - t).abs().max().item() for n, t in whole_run.items()) <= CLOSE


def test_of_several_checkpoints_the_newest_is_taken(stopped, weights):
    newest, earlier = stopped / "steps" / "000005", stopped / "steps" / "000003"
    shutil.copytree(newest, earlier)
    half = stopped / "steps" / "000007"  # copied by hand, and not to its end: it has no index
    shutil.copytree(newest, half)
    (half / checkpoints.INDEX).unlink()
    results = several_processes.call(1, until, weights, stopped, 6)
    assert results == [1.0] and names(stopped) == ["000006"]


def refused(results) -> str:
    """The one line of the one process that says why; the others end silently."""
    lines = [result for result in results if not result.startswith("SystemExit: 2")]
    assert len(lines) == 1 and "\n" not in lines[0], results
    return lines[0]


def test_a_truncated_file_is_refused_in_one_line(stopped, weights):
    file = sorted((stopped / "steps" / "000005").glob("*.safetensors"))[1]
    os.truncate(file, file.stat().st_size - 100)
    line = refused(several_processes.call(2, divided.train, weights, stopped))
    assert line.startswith("RunError") and "000005 is damaged" in line and "bytes instead" in line
    assert line.endswith("remove it to begin anew")


def test_a_file_with_a_damaged_header_is_refused_in_one_line(stopped, weights):
    file = sorted((stopped / "steps" / "000005").glob("*.safetensors"))[0]
    content = bytearray(file.read_bytes())
    content[:8] = b"\xff" * 8
    file.write_bytes(content)
    line = refused(several_processes.call(1, divided.train, weights, stopped))
    assert line.startswith("RunError") and "000005 is damaged" in line


def test_a_checkpoint_of_another_recipe_is_refused_by_what_differs(stopped, weights):
    other = dataclasses.replace(RECIPE, lr=2e-3)
    line = refused(several_processes.call(2, with_recipe, weights, stopped, other))
    assert "lr 0.001 there, 0.002 here" in line


def with_recipe(processes, weights, runs, recipe):
    return divided.train(processes, weights, runs, recipe=recipe)


def of_another_model(processes, runs):
    """A checkpoint of the small network is read into one of other sizes."""
    import torch

    from qwenimage_ref.mmdit import MMDiT
    from qwenimage_ref.train.sharded.network import divide

    network = MMDiT(dataclasses.replace(SMALL, num_layers=1))
    divide(network, processes, torch.float32)
    tensors = {f"weight.{n}": p.detach() for n, p in network.named_parameters()}
    checkpoints.read(runs / "steps" / "000005", tensors, processes)


def test_a_checkpoint_of_another_model_is_refused_in_one_line(stopped):
    line = refused(several_processes.call(1, of_another_model, stopped))
    assert line.startswith("RunError") and line.endswith("another network; use another folder")


def index_with(stopped, **changes):
    file = stopped / "steps" / "000005" / checkpoints.INDEX
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return file.parent


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 6},
        {"step": "5"},
        {"counts": {"step.proj_out.bias": 9}},
        {"files": []},
        {"terms": 1},
    ],
)
def test_an_index_that_cannot_be_is_refused(stopped, changes, weights):
    index_with(stopped, **changes)
    line = refused(several_processes.call(1, divided.train, weights, stopped))
    assert line.startswith("RunError")

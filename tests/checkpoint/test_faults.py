"""Full disks, Ctrl-C and sudden death: a save is all old or all new, or is refused when loaded."""

import errno
import importlib
import itertools
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
from helpers.full_disk import files_of_at_most
from helpers.small_net import Net, assert_equal, network, on_meta, tensors_of
from safetensors.torch import save_file

from qwenimage_ref import files
from qwenimage_ref.checkpoint import CheckpointError, load_into, save
from qwenimage_ref.config import VAEConfig
from qwenimage_ref.files import read_json, remove_partials, whole_file

# the folder's face has a function of this name
saving = importlib.import_module("qwenimage_ref.checkpoint.save")

STEM = "diffusion_pytorch_model"
OLD, NEW = tensors_of(network()), tensors_of(network(seed=1))


def held(folder: Path) -> dict:
    """The weights that a folder holds; nothing half-made may lie beside them."""
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    loaded = on_meta(Net)
    load_into(loaded, folder)
    return tensors_of(loaded)


# -- disks ----------------------------------------------------------------------------------------


def test_saving_where_a_file_stands_in_the_way_says_so(tmp_path):
    (tmp_path / "net").write_text("mine")
    with pytest.raises(CheckpointError, match="cannot write") as refused:
        save(network(), tmp_path / "net")
    assert str(tmp_path / "net") in str(refused.value)
    assert (tmp_path / "net").read_text() == "mine"


def test_a_full_disk_leaves_the_old_file_and_no_part_of_the_new(folder):
    file = folder / f"{STEM}.safetensors"
    before = file.read_bytes()
    with files_of_at_most(300), pytest.raises(CheckpointError, match="cannot write"):
        save(network(seed=1), folder)
    assert file.read_bytes() == before
    assert list(folder.iterdir()) == [file]


def test_a_disk_that_fills_at_the_second_shard_does_not_mix_new_shards_with_old(sharded):
    files = sorted(sharded.iterdir())
    first, second = files[0].stat().st_size, files[1].stat().st_size
    assert first < second
    with files_of_at_most(first), pytest.raises(CheckpointError, match="cannot write"):
        save(network(seed=1), sharded)
    assert sorted(sharded.iterdir()) == files
    loaded = on_meta(Net)
    load_into(loaded, sharded)
    assert_equal(tensors_of(loaded), tensors_of(network()))


@pytest.mark.parametrize("shard", [1, 2, 3])
def test_no_space_in_the_middle_of_any_shard_is_one_line_and_the_old_files_stay(
    sharded, monkeypatch, shard
):
    calls = itertools.count(1)

    def half(tensors, path, metadata):
        Path(path).write_bytes(b"half a file")
        if next(calls) == shard:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(saving, "save_file", half)
    with pytest.raises(CheckpointError, match="No space left on device; make room") as refused:
        save(network(seed=1), sharded)
    assert str(sharded) in str(refused.value) and "\n" not in str(refused.value)
    assert_equal(held(sharded), OLD)


def test_no_space_for_the_index_leaves_the_old_files(sharded, monkeypatch):
    monkeypatch.setattr(saving, "index_json", lambda *_: b" " * 10_000)
    with files_of_at_most(2_000), pytest.raises(CheckpointError, match="cannot write"):
        save(network(seed=1), sharded)
    assert_equal(held(sharded), OLD)


def test_a_config_that_cannot_be_written_leaves_the_old_one(tmp_path):
    VAEConfig().to_json(tmp_path / "config.json")
    with files_of_at_most(100), pytest.raises(OSError):
        VAEConfig(base_dim=4).to_json(tmp_path / "config.json")
    assert VAEConfig.from_json(tmp_path / "config.json") == VAEConfig()
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


# -- Ctrl-C ---------------------------------------------------------------------------------------


@pytest.fixture
def ctrl_c():
    """Ctrl-C means KeyboardInterrupt, also where the test runner has it otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c_at(line: int, action) -> bool:
    """Run the action, and press at that one of all lines it runs in checkpoint and files.py.

    -> whether there were so many
    """
    count, before = itertools.count(), sys.gettrace()

    def trace(frame, event, argument):
        if frame.f_code.co_filename not in (saving.__file__, files.__file__):
            return None
        if event == "line" and next(count) == line:
            signal.raise_signal(signal.SIGINT)
        return trace

    sys.settrace(trace)
    try:
        action()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return next(count) > line


@pytest.mark.parametrize("first, then", [(64, 64), (10**9, 10**9), (10**9, 64), (64, 10**9)])
def test_ctrl_c_at_any_line_of_a_save_leaves_all_the_old_weights_or_all_the_new(
    tmp_path, monkeypatch, ctrl_c, first, then
):
    seen = []
    for line in itertools.count():
        folder = tmp_path / str(line)
        monkeypatch.setattr(saving, "SHARD_BYTES", first)
        save(network(), folder)
        monkeypatch.setattr(saving, "SHARD_BYTES", then)
        came = press_ctrl_c_at(line, lambda folder=folder: save(network(seed=1), folder))
        weights = held(folder)
        seen.append(all(weights[key].equal(NEW[key]) for key in NEW))
        if not seen[-1]:
            assert_equal(weights, OLD)
        if not came:
            break
    assert len(seen) > 40 and not seen[0] and seen[-1]
    assert seen == sorted(seen)  # first all the old, from some line on all the new


def test_ctrl_c_at_any_line_of_a_whole_file_leaves_the_old_or_the_new(tmp_path, ctrl_c):
    file = tmp_path / "record.json"

    def write():
        with whole_file(file) as partial:
            partial.write_text("new")

    for line in itertools.count():
        file.write_text("old")
        came = press_ctrl_c_at(line, write)
        assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
        assert file.read_text() in ("old", "new")
        if not came:
            break
    assert file.read_text() == "new" and line > 4


def test_saving_works_where_there_is_no_ctrl_c(tmp_path):
    thread = threading.Thread(target=save, args=(network(), tmp_path))
    thread.start()
    thread.join()
    assert_equal(held(tmp_path), OLD)


# -- sudden death ---------------------------------------------------------------------------------


@pytest.mark.parametrize("names_taken", range(4))
def test_a_save_that_is_killed_between_names_is_never_loaded_as_a_mixture(
    sharded, monkeypatch, names_taken
):
    taken, replace = itertools.count(), os.replace

    class Killed(BaseException):
        pass

    def kill(*paths):
        if next(taken) == names_taken:
            raise Killed
        replace(*paths)

    monkeypatch.setattr(os, "replace", kill)
    with pytest.raises(Killed):
        save(network(seed=1), sharded)
    with pytest.raises(CheckpointError, match="no index that says what belongs together"):
        held(sharded)


def test_a_tensor_file_that_does_not_fit_on_the_disk_is_an_error_of_one_line(tmp_path):
    with files_of_at_most(1000), pytest.raises(OSError, match="cannot be written.*make room"):
        with whole_file(tmp_path / "a.safetensors") as partial:
            save_file({"a": torch.zeros(1000)}, partial)
    assert list(tmp_path.iterdir()) == []


def test_only_what_this_file_s_writers_left_is_removed(tmp_path):
    names = [".a.json.0123abcd", ".a.json.0123", ".b.json.0123abcd", "a.json", ".axjson.0123abcd"]
    for name in names:
        (tmp_path / name).write_text("half")
    remove_partials(tmp_path / "a.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_a_pipe_in_place_of_a_config_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(OSError, match="must be a regular file"):
        read_json(tmp_path / "config.json")

"""`qwenimage train full|lora --shard`: several processes, one result, one line for what fails."""

import importlib
import os
import shutil
import subprocess
import sys

import pytest
import torch
from helpers import encoded_shards, several_processes
from helpers.few_examples import EMPTY, examples
from helpers.nets import SMALL, model
from safetensors.torch import load_file

from qwenimage_ref import cli
from qwenimage_ref.checkpoint import save
from qwenimage_ref.checkpoint.headers import find_tensors, read_tensor
from qwenimage_ref.formats.fp8 import save_fp8
from qwenimage_ref.repository import POCKET
from qwenimage_ref.train import prepared
from qwenimage_ref.train.run_folder import RunFolder
from qwenimage_ref.train.sharded import network

saving = importlib.import_module("qwenimage_ref.checkpoint.save")
CLOSE = 2e-5  # sums are rounded in another order


@pytest.fixture(scope="module")
def prepared_folder(tmp_path_factory):
    """A model folder with the small transformer, and four prepared pictures"""
    folder = tmp_path_factory.mktemp("small")
    for part in ("tokenizer", "scheduler", "vae", "text_encoder"):
        shutil.copytree(POCKET / part, folder / "model" / part)
    shutil.copy(POCKET / "model_index.json", folder / "model")
    save(model(), folder / "model" / "transformer")
    SMALL.to_json(folder / "model" / "transformer" / "config.json")
    prepared.write(RunFolder(folder / "data"), examples(), EMPTY, "four pictures")
    return folder


@pytest.fixture
def data(prepared_folder, tmp_path):
    shutil.copytree(prepared_folder, tmp_path / "small")
    return tmp_path / "small"


def arguments(data, mode, *more, runs="runs", to=None):
    to = to or ("out" if mode == "full" else "out.safetensors")
    named = {"prepared": "data", "weights": "model", "runs": runs, "to": to}
    paths = [word for name, path in named.items() for word in (f"--{name}", str(data / path))]
    return ["train", mode, *paths, "--steps", "2", "--batch", "2", "--lr", "1e-3", *more]


SMALL_LORA = ("--rank", "2", "--targets", "diffusers")
FP32 = ("--shard", "--compute", "fp32")


def outcome(results) -> str:
    """The one line that all processes print, on stdout"""
    assert [status for status, *_ in results] == [0] * len(results), results
    (line,) = [out for _, out, _ in results if out]
    return line


def refused(results) -> str:
    """The one line of the process that says why; all end with status 2"""
    assert [status for status, *_ in results] == [2] * len(results), results
    lines = [line for *_, err in results for line in err.splitlines() if "qwenimage:" in line]
    assert len(lines) == 1 and not any("Traceback" in err for *_, err in results), results
    return lines[0]


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_two_processes_write_what_one_command_writes(mode, data):
    more = SMALL_LORA if mode == "lora" else ()
    line = outcome(several_processes.command(2, *arguments(data, mode, *more, *FP32)))
    assert "out" in line and ("weights" in line or "rank 2" in line)
    alone = arguments(data, mode, *more, runs="alone", to="alone.safetensors" if more else "alone")
    assert cli.main(alone) == 0
    file = "" if more else "/diffusion_pytorch_model"
    ours, theirs = (load_file(f"{data}/{name}{file}.safetensors") for name in ("out", "alone"))
    assert ours.keys() == theirs.keys()
    assert max((ours[k] - theirs[k]).abs().max().item() for k in ours) <= CLOSE


def test_what_is_written_is_a_folder_that_loads(data):
    command = arguments(data, "full", "--shard", "--recompute")
    outcome(several_processes.command(1, *command))
    assert (data / "out" / "config.json").read_bytes() == (
        data / "model" / "transformer" / "config.json"
    ).read_bytes()
    again = arguments(data, "lora", *SMALL_LORA, "--transformer", str(data / "out"), runs="more")
    assert cli.main(again) == 0


def stored(folder) -> dict[str, torch.Tensor]:
    return {key: read_tensor(place) for key, place in find_tensors(folder).items()}


def assert_close(folder, other) -> None:
    """Two folders hold the same tensors, but for the order in which sums are rounded."""
    ours, theirs = stored(folder), stored(other)
    assert ours.keys() == theirs.keys()
    assert max((ours[k] - theirs[k]).abs().max().item() for k in ours) <= CLOSE


def test_many_files_are_read_and_many_written_as_by_one_process(data, monkeypatch):
    for module in (saving, network):  # the processes are forks, and have it too
        monkeypatch.setattr(module, "SHARD_BYTES", 20_000)
    official = data / "model" / "transformer"
    save(model(), official)
    assert cli.main(arguments(data, "full", runs="alone runs", to="alone")) == 0
    outcome(several_processes.command(2, *arguments(data, "full", *FP32)))
    names, *others = (
        sorted(path.name for path in folder.glob("*.safetensors"))
        for folder in (official, data / "out", data / "alone")
    )
    assert len(names) > 10 and others == [names, names]
    index = "diffusion_pytorch_model.safetensors.index.json"
    assert (data / "out" / index).read_bytes() == (official / index).read_bytes()
    assert_close(data / "out", data / "alone")
    before, after = stored(official), stored(data / "out")
    unchanged = {key for key in before if (before[key] - after[key]).abs().max() < 1e-4}
    last = "transformer_blocks.1."  # block whose text no later one reads
    assert all(key.startswith((f"{last}txt_mlp.", f"{last}attn.")) for key in unchanged)
    assert len(unchanged) < 10


def torchrun(*words: str) -> str:
    """`torchrun ... qwenimage WORDS` with two processes -> its stdout"""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "qwenimage_ref.cli", *words,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert finished.returncode == 0, finished.stderr[-2000:]
    return finished.stdout


def test_torchrun_starts_it_on_the_shards_of_data_encode(data):
    shutil.rmtree(data / "data")
    encoded_shards.write(data / "data", encoded_shards.encoded(11))  # tar files of five examples
    assert torchrun(*arguments(data, "full", *FP32)).count("weights") == 1
    assert cli.main(arguments(data, "full", runs="alone runs", to="alone")) == 0
    assert_close(data / "out", data / "alone")


# -- refusals


def test_a_truncated_shard_is_refused_in_one_line(data):
    file = data / "model" / "transformer" / "diffusion_pytorch_model.safetensors"
    os.truncate(file, file.stat().st_size - 100)
    line = refused(several_processes.command(2, *arguments(data, "full", "--shard")))
    assert "diffusion_pytorch_model.safetensors is cut short" in line


def test_processes_that_do_not_divide_the_batch_are_refused_in_one_line(data):
    more = ("--shard", "--batch", "3")
    line = refused(several_processes.command(2, *arguments(data, "full", *more)))
    assert line.endswith("--batch must be a multiple of the 2 processes, got 3; try 4")


def test_a_run_of_another_model_is_refused_in_one_line(data):
    outcome(several_processes.command(1, *arguments(data, "full", "--shard")))
    index = data / "runs" / "steps" / "000002" / "state.json"
    assert index.is_file()
    other = data / "model" / "transformer"
    shutil.rmtree(other)
    shutil.copytree(POCKET / "transformer", other)
    line = refused(several_processes.command(2, *arguments(data, "full", "--shard")))
    assert "of another network; use another folder" in line


def test_packed_weights_are_refused_in_one_line(data):
    save_fp8(model(), data / "fp8.safetensors")
    more = (*SMALL_LORA, "--shard", "--transformer", str(data / "fp8.safetensors"))
    line = refused(several_processes.command(2, *arguments(data, "lora", *more)))
    assert "must hold plain bfloat16, float16 or float32 numbers" in line


def test_weights_that_hold_nan_are_refused_by_the_process_that_reads_them(data):
    broken = model()
    with torch.no_grad():
        broken.proj_out.weight[-1, -1] = torch.nan  # in the rows of the last process
    save(broken, data / "model" / "transformer")
    line = refused(several_processes.command(2, *arguments(data, "full", "--shard")))
    assert "proj_out.weight holds NaN" in line


def test_a_gradient_that_is_not_finite_ends_in_one_line(data):
    broken = examples()
    broken[1].txt[0, 0] = torch.inf
    prepared.write(RunFolder(data / "data"), broken, EMPTY, "four pictures")
    line = refused(several_processes.command(2, *arguments(data, "full", "--shard")))
    assert "the gradient is not finite; lower the rate" in line


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--stream",), "--stream and --preset-lora"),
        (("--steps", "0"), "--steps must be at least 1"),
    ],
)
def test_options_are_refused_in_one_line(data, more, reason):
    command = arguments(data, "lora", *SMALL_LORA, "--shard", *more)
    assert reason in refused(several_processes.command(2, *command))


def test_unprepared_pictures_are_refused_with_the_command_that_prepares_them(data, capsys):
    command = ["train", "full", "--data", str(data), "--to", str(data / "out"), "--shard"]
    assert cli.main(command) == 2
    assert "qwenimage train prepare" in capsys.readouterr().err


def test_an_environment_that_is_not_torchruns_is_refused(data, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(arguments(data, "full", "--shard")) == 2
    assert "as torchrun sets it, got RANK=2, WORLD_SIZE=2" in capsys.readouterr().err


def test_a_second_run_in_the_folder_is_refused_in_one_line(data):
    with RunFolder(data / "runs").locked():
        line = refused(several_processes.command(2, *arguments(data, "full", "--shard")))
    assert "is in use by process" in line

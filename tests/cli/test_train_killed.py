"""`qwenimage train MODE` ended by kill -9: the same command goes on, to the same bits."""

import os
import signal
from pathlib import Path

import pytest
from helpers.resumed import killed
from helpers.train_commands import arguments, write_data

from qwenimage_ref import cli
from qwenimage_ref.cli.train_modes import MODES
from qwenimage_ref.train import state
from qwenimage_ref.train.loop import Run

STEPS, KEPT, LOST = 4, 2, 3  # of a run; the state of KEPT is on the disk when LOST is over
SMALL = {  # kind of data: what makes its pictures smaller, if anything may
    "prompts": ("--size", "64x64"),
    "matched": ("--size", "64x64"),
    "taught": (),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def die_in_training(folder: str, command: list[str]) -> None:
    """Run a command up to the step LOST of the run in a folder of this name."""
    take_step = Run._take_step

    def step_and_die(run, *rest):
        line = take_step(run, *rest)
        if run.step == LOST and run.files.path.name == folder:
            os.kill(os.getpid(), signal.SIGKILL)
        return line

    Run._take_step, Run._due = step_and_die, lambda run, *_: run.step == KEPT
    cli.main(command)


def die_in_preparing(call: int, command: list[str]) -> None:
    """Run a command up to half of the file that is written as the `call`-th."""
    save_file, calls = state.save_file, []

    def save_half_and_die(tensors, file, **more):
        calls.append(file)
        if len(calls) == call:
            Path(file).write_bytes(bytes(100))
            os.kill(os.getpid(), signal.SIGKILL)
        save_file(tensors, file, **more)

    state.save_file = save_half_and_die
    cli.main(command)


def contents(folder: Path, *others: str) -> dict[str, bytes]:
    """File below the folder -> its bytes, but for files of the other names"""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files if f.name not in others}


def assert_alike(ours: dict[str, bytes], theirs: dict[str, bytes]) -> None:
    assert ours.keys() == theirs.keys() and ours
    assert [name for name in ours if ours[name] != theirs[name]] == []


HALVES = {"differential": ("unwanted", "wanted")}
KILLED = [(mode, half) for mode in MODES for half in HALVES.get(mode, ("killed",))]


@pytest.mark.parametrize("mode, where", KILLED)
def test_a_killed_training_ends_on_the_bits_of_an_unbroken_one(mode, where, data, monkeypatch):
    monkeypatch.chdir(data)
    small = SMALL.get(MODES[mode].data, ("--max-pixels", "4096"))
    folders = data / mode / where
    folders.mkdir(parents=True)

    def command(name: str) -> list[str]:
        (folders / name).mkdir(exist_ok=True)
        to = f"{mode}/{where}/{name}/" + ("whole" if MODES[mode].whole else "my.safetensors")
        return arguments(data, mode, *small, steps=STEPS, to=to, runs=f"{mode}/{where}/{name}")

    killed(die_in_training, where, command("killed"))
    assert list((folders / "killed").rglob("state.safetensors"))
    assert not list((folders / "killed").glob("my.safetensors"))
    assert cli.main(command("killed")) == 0
    assert cli.main(command("unbroken")) == 0
    # the log states seconds
    both = (contents(folders / name, "log.jsonl", "log.csv") for name in ("killed", "unbroken"))
    assert_alike(*both)


# writes of a file: of a picture that is encoded, of an example
@pytest.mark.parametrize("call", [2, 4])
def test_killed_preparing_ends_on_the_bytes_of_an_unbroken_one(call, data):
    def command(name: str) -> list[str]:
        words = ["--data", str(data / "comparisons"), "--kind", "comparisons"]
        return ["train", "prepare", *words, "--to", str(data / f"{name}{call}")]

    killed(die_in_preparing, call, command("killed"))
    assert not (data / f"killed{call}" / "prepared.json").exists()
    assert cli.main(command("killed")) == 0
    assert cli.main(command("unbroken")) == 0
    assert_alike(contents(data / f"killed{call}"), contents(data / f"unbroken{call}"))

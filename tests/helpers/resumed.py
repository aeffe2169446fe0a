"""A run of any objective stopped half way, as by a kill, and continued: equal to the last bit?"""

import importlib
import multiprocessing
import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

# careful: a forked child must not use its parent's threads; `load` sees to that
import qwenimage_ref.load  # noqa: F401
from helpers import speed
from qwenimage_ref.train.loop import Run


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "state.safetensors")


def assert_same_state(ours: Path, theirs: Path) -> None:
    ours, theirs = state_of(ours), state_of(theirs)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def killed(function, *arguments) -> None:
    """Call a function in a process that ends itself there as kill -9 does: a copy of this one, for
    another would import for seconds what this one has."""
    way = "fork" if sys.platform == "linux" else "spawn"  # elsewhere a copy may crash
    process = multiprocessing.get_context(way).Process(target=function, args=arguments)
    process.start()
    process.join(speed.wall_seconds(120))
    if process.exitcode is None:
        process.kill()
    assert process.exitcode == -signal.SIGKILL, f"it ended with status {process.exitcode}"


def kill_at(module: str, step: int, folder: Path, half: str | None = None) -> None:
    """Call `trained(folder, save_seconds=0)` of a test module in a process that is killed (-9) as
    soon as the state of that step is on the disk; of two runs, in that half of the folder."""
    killed(_trained_until_saved, module, step, folder, half)


def _trained_until_saved(module: str, step: int, folder: Path, half: str | None) -> None:
    save = Run.save

    def save_and_die(run):
        save(run)
        if run.step == step and half in (None, run.files.path.name):
            os.kill(os.getpid(), signal.SIGKILL)

    Run.save = save_and_die
    importlib.import_module(module).trained(folder, save_seconds=0)

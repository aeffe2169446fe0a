"""A run of any objective stopped half way, as by a kill, and continued: equal to the last bit?"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

TESTS = Path(__file__).parents[1]


def state_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "state.safetensors")


def assert_same_state(ours: Path, theirs: Path) -> None:
    ours, theirs = state_of(ours), state_of(theirs)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def kill_at(module: str, step: int, folder: Path, half: str | None = None) -> None:
    """Call `trained(folder, save_seconds=0)` of a test module in a process that is killed (-9) as
    soon as the state of that step is on the disk; of two runs, in that half of the folder."""
    code = (
        "import os, signal, sys\n"
        "from qwenimage_ref.train import loop\n"
        f"from {module} import trained\n"
        "save = loop.Run.save\n"
        "def save_and_die(run):\n"
        "    save(run)\n"
        f"    if run.step == {step} and {half!r} in (None, run.files.path.name):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "loop.Run.save = save_and_die\n"
        "trained(sys.argv[1], save_seconds=0)\n"
    )
    paths = [str(TESTS), str(TESTS / "train"), str(TESTS.parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.returncode == -signal.SIGKILL, process.stderr[-2000:]

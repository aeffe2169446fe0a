"""The command in several processes, as torchrun starts them."""

import subprocess
import sys
from pathlib import Path


def torchrun(processes: int, *arguments: str, folder: Path) -> None:
    """`qwenimage ARGUMENTS` in each of so many processes of this machine, from that folder

    Raises RuntimeError with what they wrote to stderr last, where one of them fails.
    """
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(processes), "-m", "qwenimage_ref.cli", *arguments),
    ]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if finished.returncode:
        lines = [line for line in finished.stderr.splitlines() if line.startswith("qwenimage:")]
        raise RuntimeError((lines or finished.stderr.splitlines()[-1:] or ["no reason given"])[0])

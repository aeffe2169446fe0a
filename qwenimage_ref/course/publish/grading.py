"""`make grade`: a learner's code runs in a process of its own, and its values are compared here.

The verdict depends on those values alone: not on what the other process prints, and not on how it
ends. One that ends early, or gives nothing for PART_SECONDS, is started anew for the parts left.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from ...extras import demand_extra
from ...repository import POCKET, ROOT
from . import learners_package
from .learners_package import MODULES, CapstoneError, package_of, put

PART_SECONDS = 120  # a part takes about one second; naive code may take many


class Lost(RuntimeError):
    """The process gives no further value; says why."""


def grade(folder: Path, only: str = "", seconds: float = PART_SECONDS) -> bool:
    """Print a row for each part -> whether all are equal. Raises CapstoneError, or ValueError.

    only: how the names of the parts begin. seconds: how long a part may take.
    """
    demand_extra("parity")
    from ...parity.grade import run  # diffusers: slow to import, and `make blank` needs none of it

    package = package_of(folder).resolve()
    names = run.chosen(only)
    print(f"graded: {len(MODULES)} files of {package}")
    rows = []
    given = {name: run.given(name, POCKET) for name in names}
    for name, answer in answers(folder, given, seconds):
        row = run.row(name, answer, POCKET)
        print(row, flush=True)
        rows.append(row)
    equal = sum(row.equal for row in rows)
    most = sum(map(run.points, names))
    print(f"points: {sum(row.points for row in rows)} of {most}")
    print(f"milestones: {', '.join(run.milestones(rows)) or 'none yet'}")
    print(f"{equal} of {len(names)} parts: equal")
    return equal == len(names)


def answers(folder: Path, given: dict, seconds: float) -> Iterator[tuple[str, dict]]:
    """{part: what it is given} -> part and answer, as parity/grade/ours.py yields it, in order."""
    waiting = dict(given)
    while waiting:
        with LearnersProcess(folder, waiting, seconds) as process:
            if refusal := process.value("imported", "while the files were imported"):
                raise CapstoneError(refusal)
            for number, name in enumerate([*waiting]):
                del waiting[name]
                try:
                    answer = process.value(str(number), "before the part was computed")
                except Lost as loss:
                    yield name, {"values": [], "stopped": f"stops: {loss}"}
                    break
                yield name, answer
            else:
                if refusal := process.value("checked", "after the last part"):
                    raise CapstoneError(refusal)


class LearnersProcess:
    """The process in which the learner's package computes; killed at the end of the block."""

    def __init__(self, folder: Path, given: dict, seconds: float):
        self.seconds = seconds
        self.scratch = tempfile.TemporaryDirectory()
        put(Path(self.scratch.name), "given", given)
        command = [sys.executable, "-m", learners_package.__name__, folder, self.scratch.name]
        self.process = subprocess.Popen(
            [*command, *given],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, so its children end with it
        )
        self.echo = threading.Thread(target=self._repeat, daemon=True)
        self.echo.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.echo.join(timeout=5)
        self.scratch.cleanup()

    def value(self, name: str, when: str):
        """What the process wrote as NAME.pt. Raises Lost, or CapstoneError during the imports."""
        file, end = Path(self.scratch.name, f"{name}.pt"), time.monotonic() + self.seconds
        while True:
            status = self.process.poll()  # careful: asked first, a last file may still have come
            if file.exists():
                return self._read(file)
            if status is not None:
                problem = f"the process ended with status {status} {when}"
            elif time.monotonic() > end:
                problem = f"no result within {self.seconds:g} s; look for a loop without an end"
            else:
                time.sleep(0.02)
                continue
            raise Lost(problem) if name.isdigit() else CapstoneError(f"{problem}; not graded")

    def _read(self, file: Path):
        try:
            return torch.load(file, weights_only=True)
        except Exception as error:  # the learner's code may have written anything
            raise Lost(f"{file.name} is not an answer ({type(error).__name__})") from None

    def _repeat(self) -> None:
        """What the learner's code prints, marked, so that it cannot be taken for a verdict."""
        for line in iter(lambda: self.process.stdout.readline(500), b""):
            text = line.decode("utf-8", "replace").rstrip()
            shown = "".join(letter if letter.isprintable() else " " for letter in text)
            print(f"    | {shown}", flush=True)

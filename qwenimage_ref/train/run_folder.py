"""The folder of one training run: its lock, its log, and files written whole or not at all.

state.safetensors   everything that the next start continues from
log.jsonl           one line of numbers now and then
log.csv             the same as a table, written with every state
lock                held by the process that trains
unfinished/         files being written; whatever lies there at a start was left by a kill
"""

import contextlib
import csv
import fcntl
import json
import os
import shutil
from pathlib import Path

from safetensors import SafetensorError

from ..files import open_regular, shorten
from ..limits import warn


class RunError(ValueError):
    """A run that cannot be continued or saved; one line says why, and what to do."""


class RunFolder:
    """Where a run keeps what it writes. Raises OSError where the folder cannot be made."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = None  # the open lock file while this object holds the lock

    @property
    def state(self) -> Path:
        return self.path / "state.safetensors"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    def state_stamp(self) -> tuple[int, int] | None:
        """Changes whenever a state is written; None without one."""
        if not self.state.exists():
            return None
        stat = self.state.stat()
        return stat.st_ino, stat.st_mtime_ns

    @contextlib.contextmanager
    def locked(self):
        """Context of the only process that trains here; a second one gets a RunError at once.

        The kernel releases the lock when its process ends, even by kill -9. May be entered again
        while it is held. What a killed process left in `unfinished` is removed.
        """
        if self._lock is not None:
            yield
            return
        with (self.path / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise RunError(
                    f"{self.path} is in use by process {shorten([lock.read(20)])}, which trains "
                    "there; wait for its end, or choose another folder"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            self._lock = lock
            try:
                shutil.rmtree(self.path / "unfinished", ignore_errors=True)
                yield
            finally:
                self._lock = None

    @contextlib.contextmanager
    def whole_file(self, file: Path):
        """Yields a path in `unfinished` that takes the name of `file` only if the block succeeds.

        Raises RunError where the disk is full or the folder cannot be written to.
        """
        partial = self.path / "unfinished" / file.name
        try:
            partial.parent.mkdir(exist_ok=True)
            yield partial
            os.replace(partial, file)
        except (OSError, SafetensorError) as error:
            raise RunError(
                f"{file} cannot be written ({error}); make room there, then the same command "
                "continues"
            ) from None
        finally:
            shutil.rmtree(partial.parent, ignore_errors=True)

    def append_log(self, line: dict) -> None:
        """Add one line to the log, floats to six digits."""
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in line.items()}
        try:
            with self.log.open("a") as file:
                file.write(json.dumps(rounded) + "\n")
        except OSError as error:
            raise RunError(
                f"{self.log} cannot be written ({error}); make room there, then the same command "
                "continues"
            ) from None

    def write_csv(self) -> None:
        """Write the log as log.csv: a column for each number, in the order of their appearance."""
        if not self.log.exists():
            return
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        columns = list(dict.fromkeys(key for line in lines for key in line))
        with self.whole_file(self.path / "log.csv") as partial:
            with partial.open("w", newline="") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(lines)

    def rewind_log(self, step: int) -> None:
        """Drop the lines written after the state of `step` was saved: those steps are run again.

        Without a state that is every line. A last line without an end was cut short by a kill and
        is dropped too; other damaged lines are dropped with a warning.
        """
        if not self.log.exists():
            return
        with open_regular(self.log) as file:
            text = file.read().decode("utf-8", errors="replace")
        *lines, _torn = text.split("\n")
        kept, damaged, last = [], [], 0
        for number, line in enumerate(lines, 1):
            at = _step_of(line)
            if at is None or at <= last:
                damaged.append(number)
            elif at <= step:
                kept.append(line)
                last = at
        if damaged:
            warn(f"{self.log}: damaged lines were dropped (number {shorten(damaged)})")
        rewound = "".join(line + "\n" for line in kept)
        if rewound != text:
            with self.whole_file(self.log) as partial:
                partial.write_text(rewound)


def _step_of(line: str) -> int | None:
    """The step that a line of the log is about, or None if it is damaged."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return step if type(step) is int else None

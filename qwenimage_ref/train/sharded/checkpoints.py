"""Checkpoints of a divided run: a folder a step, a file a process, read by any number of them.

steps/000200/state.json                the step, the run's terms, and how long each file is
steps/000200/shard-....safetensors     what one process held (torch.distributed.checkpoint)

A folder takes its name when everything in it is on the disk: whatever is killed before that leaves
the checkpoint before.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch.distributed.checkpoint import (
    CheckpointException,
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)

from ...files import read_json
from ..run_folder import RunError, RunFolder
from ..state import damaged
from .processes import Processes

INDEX = "state.json"


class LedFolder(RunFolder):
    """The folder of a run of several processes: the leader alone locks it and writes the log."""

    def __init__(self, path: str | Path, processes: Processes):
        super().__init__(path)
        self.processes = processes

    @contextlib.contextmanager
    def locked(self):
        with contextlib.ExitStack() as stack:
            with self.processes.together():
                if self.processes.leads:
                    stack.enter_context(super().locked())
            yield

    def append_log(self, line: dict) -> None:
        if self.processes.leads:
            super().append_log(line)

    def write_csv(self) -> None:
        if self.processes.leads:
            super().write_csv()

    def rewind_log(self, step: int) -> None:
        if self.processes.leads:
            super().rewind_log(step)
        self.processes.wait()


class StepsFolder(LedFolder):
    """The same, with a folder for the state instead of a file."""

    @property
    def steps(self) -> Path:
        return self.path / "steps"

    @property
    def state(self) -> Path:
        """The newest checkpoint; the name of one that is not there if there is none"""
        return max(self._checkpoints(), default=self.steps / "000000")

    def _checkpoints(self) -> Iterator[Path]:
        return (path for path in self.steps.glob("[0-9]" * 6) if (path / INDEX).is_file())


def write(folder: StepsFolder, step: int, tensors: dict, counts: dict, terms: dict) -> None:
    """Write the checkpoint of a step by all processes, then remove the earlier ones.

    tensors: divided, {key: tensor}. counts: {key: whole number}, for numbers that are no tensors.
    Raises RunError, in the leader, where the files cannot be written.
    """
    leads, partial = folder.processes.leads, folder.path / "unfinished" / f"{step:06}"
    if folder.processes.leaders((folder.steps / partial.name / INDEX).is_file()):
        return  # a run that is continued at its end has nothing new
    try:
        with folder.processes.together():
            if leads:
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
        dcp.save(tensors, storage_writer=HuggingFaceStorageWriter(partial, save_distributed=True))
        with folder.processes.together():
            if leads:
                _finish(folder, partial, {"step": step, "terms": terms, "counts": counts})
    except (OSError, CheckpointException) as error:
        if not leads:
            raise SystemExit(2) from None
        raise RunError(
            f"{partial} cannot be written ({_reason(error)}); make room there, then the same "
            "command continues"
        ) from None


def _finish(folder: StepsFolder, partial: Path, content: dict) -> None:
    """Give a written checkpoint its name, and remove those before it."""
    files = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
    with (partial / INDEX).open("w") as opened:
        json.dump(content | {"files": files}, opened, indent=1)
        opened.flush()
        os.fsync(opened.fileno())
    earlier = list(folder.steps.iterdir()) if folder.steps.is_dir() else []
    folder.steps.mkdir(exist_ok=True)
    os.rename(partial, folder.steps / partial.name)
    for path in earlier:
        shutil.rmtree(path, ignore_errors=True)


def read_index(checkpoint: Path) -> dict:
    """-> step, terms and counts of a checkpoint. Raises RunError for one that is not whole."""
    try:
        content = read_json(checkpoint / INDEX)
        step, counts, files = content["step"], content["counts"], content["files"]
        if type(step) is not int or f"{step:06}" != checkpoint.name:
            raise ValueError(f"{INDEX} is of step {step}")
        if not all(type(count) is int and 1 <= count <= step for count in counts.values()):
            raise ValueError("an optimiser took other steps than the run")
        for name, size in files.items():
            there = (checkpoint / Path(name).name).stat().st_size
            if there != size:
                raise ValueError(f"{name} has {there:,} bytes instead of {size:,}")
        return content
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(checkpoint, _reason(error)) from None


def read(checkpoint: Path, tensors: dict[str, torch.Tensor], processes: Processes) -> None:
    """Fill divided tensors, {key: tensor}, whatever number of processes has written them.

    Raises RunError, in one process, for a checkpoint of another network and for a damaged one.
    """
    with processes.together():
        _demand_same(checkpoint, {key: tuple(tensor.shape) for key, tensor in tensors.items()})
    try:
        dcp.load(tensors, storage_reader=HuggingFaceStorageReader(checkpoint))
    except CheckpointException as error:  # in all processes, whichever failed
        if not processes.leads:
            raise SystemExit(2) from None
        raise damaged(checkpoint, _reason(error)) from None


def _demand_same(checkpoint: Path, shapes: dict[str, tuple]) -> None:
    try:
        stored = HuggingFaceStorageReader(checkpoint).read_metadata().state_dict_metadata
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(checkpoint, _reason(error)) from None
    if shapes != {key: tuple(each.size) for key, each in stored.items()}:
        raise RunError(f"{checkpoint} is of another network; use another folder")


def _reason(error: BaseException) -> str:
    """The first of what may be the errors of several processes, in one line"""
    if isinstance(error, CheckpointException):
        error = next(iter(error.failures.values()))[0]
    return " ".join(str(error).split())

"""Work for workers of other processes, which import it by name: it counts, fails or dies."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from qwenimage_ref.files import whole_file

SPARE, ASKED = 64_000_000, 1_000_000_000  # bytes


@dataclass(frozen=True)
class Note:
    """Leaves a file for each item, whole or not at all, and a line for each time it was begun."""

    folder: str
    dies: str = ""  # the item over which the first worker is killed, half way
    always: bool = False  # and every other one, too
    fails: str = ""
    full: str = ""  # the item that takes more memory than there is
    taker: str = ""  # what takes it, "python" or "torch"; nothing: the error alone is raised

    def __call__(self, item: str) -> dict:
        folder = Path(self.folder)
        with (folder / "begun").open("a") as opened:
            opened.write(f"{item}\n")
        if item == self.fails:
            raise ValueError(f"{item} is damaged; copy it again")
        if item == self.full:
            take_too_much(self.taker)
        with whole_file(folder / item) as partial:
            partial.write_text("half")
            if item == self.dies and (self.always or not (folder / "died").exists()):
                (folder / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            partial.write_text(f"result of {item}")
        return {"item": item}


def take_too_much(taker: str) -> None:
    """Ask for 1 GB in a process that the system allows 64 MB more than it has (Linux)."""
    if not taker:
        raise MemoryError
    import resource

    import torch

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + SPARE, hard))
    taken = bytearray(ASKED) if taker == "python" else torch.ones(ASKED, dtype=torch.uint8)
    raise ValueError(f"the system gave {len(taken)} bytes")


def begun(folder: Path) -> list[str]:
    return (folder / "begun").read_text().split()


def results(folder: Path) -> dict[str, str]:
    """What lies in the folder under each item's name"""
    notes = {path.name: path for path in folder.iterdir()}
    return {name: path.read_text() for name, path in notes.items() if name not in ("begun", "died")}

"""Work for workers of other processes, which import it by name: it counts, fails or dies."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from qwenimage_ref.files import whole_file


@dataclass(frozen=True)
class Note:
    """Leaves a file for each item, whole or not at all, and a line for each time it was begun."""

    folder: str
    dies: str = ""  # the item over which the first worker is killed, half way
    always: bool = False  # and every other one, too
    fails: str = ""
    full: str = ""  # the item that takes more memory than there is

    def __call__(self, item: str) -> dict:
        folder = Path(self.folder)
        with (folder / "begun").open("a") as opened:
            opened.write(f"{item}\n")
        if item == self.fails:
            raise ValueError(f"{item} is damaged; copy it again")
        if item == self.full:
            raise MemoryError
        with whole_file(folder / item) as partial:
            partial.write_text("half")
            if item == self.dies and (self.always or not (folder / "died").exists()):
                (folder / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            partial.write_text(f"result of {item}")
        return {"item": item}


def begun(folder: Path) -> list[str]:
    return (folder / "begun").read_text().split()


def results(folder: Path) -> dict[str, str]:
    """What lies in the folder under each item's name"""
    notes = {path.name: path for path in folder.iterdir()}
    return {name: path.read_text() for name, path in notes.items() if name not in ("begun", "died")}

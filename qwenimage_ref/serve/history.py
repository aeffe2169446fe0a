"""The folder of what the page painted: PNG files with their settings, and the pictures they need.

pictures/2026-05-01_120000_1.png      one picture
pictures/2026-05-01_120000_2/         layers of one: layer_1.png, ..., and layers.psd behind them
pictures/inputs/<sha256>.png          what was uploaded or drawn; names say the content
"""

import hashlib
import io
import itertools
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..files import whole_file
from ..png_settings import SettingsError, read_settings
from ..psd import TOGETHER

INPUTS = "inputs"
SHOWN = 24  # pictures, the newest first


@dataclass(frozen=True)
class Shown:
    """One picture of the history, or the layers of one, as the page shows it."""

    names: tuple[str, ...]  # files in the folder, the lowest layer first
    prompt: str
    seed: str


class History:
    """One folder; several servers may share it."""

    def __init__(self, folder: Path):
        self.folder = folder.absolute()
        self._numbers = itertools.count(1)
        self._shown: dict[str, Shown] = {}
        (self.folder / INPUTS).mkdir(parents=True, exist_ok=True)

    def new(self, ending: str = ".png") -> Path:
        """A name that no other picture has"""
        for number in self._numbers:
            path = self.folder / f"{time.strftime('%Y-%m-%d_%H%M%S')}_{number}{ending}"
            if not path.exists():
                return path

    def keep(self, content: bytes, ending: str) -> Path:
        """Store an input under the name of its content"""
        path = self.folder / INPUTS / f"{hashlib.sha256(content).hexdigest()}{ending}"
        if not path.exists():
            with whole_file(path) as partial:
                partial.write_bytes(content)
        return path

    def keep_picture(self, picture: Image.Image) -> Path:
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG")
        return self.keep(buffer.getvalue(), ".png")

    def newest(self) -> list[Shown]:
        """The newest pictures with settings; files of other programs are left out"""
        # the PSD stands for its layers, because it is written when all of them are there
        patterns = ("*.png", f"*/{TOGETHER}", "*/layer.png")
        files = [file for pattern in patterns for file in self.folder.glob(pattern)]
        files.sort(key=lambda file: file.stat().st_mtime_ns)
        shown = [self._shown_of(file) for file in reversed(files[-SHOWN:])]
        return [each for each in shown if each.prompt]

    def _shown_of(self, file: Path) -> Shown:
        # careful: names are never used twice, so what a file says is read once
        key = file.relative_to(self.folder).as_posix()
        if key not in self._shown:
            pictures = _layers_beside(file) if file.name == TOGETHER else [file]
            try:
                options = read_settings(pictures[0]).get("options") or {}
            except (SettingsError, IndexError):
                options = {}
            names = tuple(each.relative_to(self.folder).as_posix() for each in pictures)
            prompt = str(options.get("prompt") or options.get("extract") or "")
            self._shown[key] = Shown(names, prompt, str(options.get("seed", "")))
        return self._shown[key]


def _layers_beside(document: Path) -> list[Path]:
    """A PSD -> the files of its layers, the lowest first"""
    files = (document.with_name(f"layer_{number}.png") for number in itertools.count(1))
    return list(itertools.takewhile(Path.exists, files))

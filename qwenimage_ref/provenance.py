"""The provenance of a measurement: machine, versions, commit and command."""

import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path

import torch

from . import __version__
from .files import whole_file
from .repository import CHECKOUT, ROOT


def provenance(*packages: str) -> dict:
    """-> {"machine", "versions", "commit", "command"} for a file in data/measurements/

    packages: further packages whose versions are recorded, for example diffusers.
    """
    return {
        "machine": {
            "processor": _processor(),
            "threads": torch.get_num_threads(),
            "system": platform.system(),
        },
        "versions": {
            "qwenimage_ref": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
        "commit": _commit(),
        # absolute paths mean nothing on another machine
        "command": " ".join(Path(a).name if a.startswith("/") else a for a in sys.orig_argv),
    }


def write_record(result: dict, file: Path) -> None:
    """Write a measurement and its provenance as JSON, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as partial:
        partial.write_text(json.dumps(result | provenance(), indent=2) + "\n", encoding="utf-8")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        return f"{len(names)} x {names[0]}"
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def _commit() -> str:
    """The commit checked out, or "unknown" outside a git checkout of this repository."""
    if not CHECKOUT:  # an installed package may lie in a checkout of something else
        return "unknown"
    command = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

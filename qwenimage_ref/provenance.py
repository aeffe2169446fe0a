"""Where a number comes from: machine, versions and commit, kept with every measurement."""

import importlib.metadata
import json
import platform
import subprocess
import sys
from pathlib import Path

import torch

from . import __version__
from .files import whole_file
from .repository import ROOT


def provenance(*packages: str) -> dict:
    """-> {"machine", "versions", "commit", "command"} for a file in data/measurements/

    packages: others whose version matters to the number, diffusers for one.
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
        # a machine's own paths say nothing elsewhere
        "command": " ".join(Path(a).name if a.startswith("/") else a for a in sys.orig_argv),
    }


def write_record(result: dict, file: Path) -> None:
    """Write a measurement with its machine, versions and commit, whole or not at all."""
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
    """The commit checked out, or "unknown" outside a git checkout."""
    run = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"

"""Is everything here that the course needs? Read off pyproject.toml, the one list of it.

Imports nothing that may be missing.
"""

import tomllib
from importlib import metadata

from packaging.requirements import Requirement

from ...repository import ROOT

PROJECT = ROOT / "pyproject.toml"


def packages() -> list[tuple[str, str, str, str]]:
    """Rows of package, needed, installed, and OK, too old or missing."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["notebooks"]
    return [_row(Requirement(line)) for line in lines]


def _row(wanted: Requirement) -> tuple[str, str, str, str]:
    try:
        installed = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return wanted.name, str(wanted.specifier), "", "missing"
    verdict = "OK" if wanted.specifier.contains(installed, prereleases=True) else "too old"
    return wanted.name, str(wanted.specifier), installed, verdict

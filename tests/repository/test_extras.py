"""Commands in an environment without the optional libraries: one line, never a traceback."""

import os
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

from qwenimage_ref.extras import LIBRARIES
from qwenimage_ref.repository import ROOT

# a finder in place of the usual one, which does not see what an extra would install
HIDE = f"""
import importlib.machinery, sys
hidden = {sum(LIBRARIES.values(), ())!r}
class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in hidden:
            return super().find_spec(name, path, target)
usual = sys.meta_path.index(importlib.machinery.PathFinder)
sys.meta_path[usual] = Finder
"""
DISTRIBUTIONS = {"skimage": "scikit-image"}  # of those that are imported under another name
COMMANDS = {
    "cli control-picture canny data/pictures/failures.png": "control",
    "cli validate data/pocket": "parity",
    "cli bench --quick": "parity",
    "cli course": "notebooks",
    "parity.bench.full_width": "parity",
    "parity.bench.lora formula": "parity",
    "parity.full_depth": "parity",
    "course.figures.error_growth": "notebooks",
    "course.publish.build": "notebooks",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_without_its_libraries_names_the_extra_in_one_line(tmp_path, command):
    (tmp_path / "sitecustomize.py").write_text(HIDE, encoding="utf-8")
    module, *arguments = command.split()
    ended = subprocess.run(
        [sys.executable, "-m", f"qwenimage_ref.{module}", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
    )
    lines = ended.stderr.splitlines()
    assert ended.returncode == 2 and len(lines) == 1
    assert f'pip install "qwenimage_ref[{COMMANDS[command]}]"' in lines[0]


@pytest.mark.parametrize("extra", LIBRARIES)
def test_every_library_that_is_asked_for_is_installed_by_its_extra(extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = project["optional-dependencies"][extra]
    wanted = {DISTRIBUTIONS.get(name, name) for name in LIBRARIES[extra]}
    assert wanted <= {Requirement(line).name for line in lines}

"""Adds the pocket model's weights to the wheel; everything else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithPocketWeights(build_py):
    """Copies data/pocket to qwenimage_ref/data/pocket, where repository.py looks for it."""

    def run(self):
        super().run()
        if not self.editable_mode:  # an editable install reads the checkout itself
            target = Path(self.build_lib, "qwenimage_ref", "data", "pocket")
            shutil.rmtree(target, ignore_errors=True)  # a file of an earlier build would stay
            shutil.copytree(Path("data", "pocket"), target)


setup(cmdclass={"build_py": BuildWithPocketWeights})

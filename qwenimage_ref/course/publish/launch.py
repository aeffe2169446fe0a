"""Buttons that open a chapter on Binder or Colab, and Colab's copy, which installs the course.

Both services read a public GitHub repository, so the site has buttons only if it is built for one:
make site REPOSITORY=owner/name. Binder builds environment.yml. Colab opens one file and has nothing
else: its copies lie in the site, in colab/, for a site that is published from the branch gh-pages.
"""

import copy
import re

import nbformat

from . import drawings

BRANCH = "gh-pages"
INSTALL = """# Colab has this file alone: fetch the course and install it, in about two minutes.
import sys

!git clone --quiet --depth 1 {address} course
%pip install --quiet -e "course[notebooks,parity]"
sys.path.insert(0, "course")  # an editable install is seen only by the next kernel"""


class LaunchError(ValueError):
    """A name that is no GitHub repository."""


def address(repository: str) -> str:
    """owner/name -> its address on GitHub. Raises LaunchError."""
    if not re.fullmatch(r"[\w-]+/[\w.-]+", repository):
        raise LaunchError(f"REPOSITORY must be owner/name, got {repository!r}")
    return f"https://github.com/{repository}"


def buttons(repository: str, name: str) -> str:
    """HTML of the two buttons of a chapter, notebooks/NAME.ipynb."""
    address(repository)
    binder = f"https://mybinder.org/v2/gh/{repository}/HEAD?labpath=notebooks%2F{name}.ipynb"
    colab = (
        f"https://colab.research.google.com/github/{repository}/blob/{BRANCH}/colab/{name}.ipynb"
    )
    return (
        f'<p><a class="download" href="{binder}">Run on Binder</a> '
        f'<a class="download" href="{colab}">Run on Colab</a></p>'
    )


def for_colab(notebook: nbformat.NotebookNode, clone_from: str) -> nbformat.NotebookNode:
    """A copy of a notebook whose first cell fetches and installs the course.

    Its drawings come from the repository, as a single file has no folder beside it.
    """
    copied = copy.deepcopy(notebook)
    raw = clone_from.replace("https://github.com", "https://raw.githubusercontent.com")
    drawings.moved(copied, f"{raw}/HEAD/notebooks")
    cell = nbformat.v4.new_code_cell(INSTALL.format(address=clone_from), id="install")
    copied.cells.insert(0, cell)
    return copied

"""Buttons for Binder and Colab: where they lead, and what Colab's copy of a notebook does first."""

import nbformat
import pytest

from qwenimage_ref.course.publish import build, launch

NAME = "00_a_picture_in_sixty_seconds"


def test_the_buttons_open_the_chapter_on_both_services():
    buttons = launch.buttons("owner/name", NAME)
    assert f"https://mybinder.org/v2/gh/owner/name/HEAD?labpath=notebooks%2F{NAME}.ipynb" in buttons
    colab = "https://colab.research.google.com/github/owner/name/blob/gh-pages/colab"
    assert f"{colab}/{NAME}.ipynb" in buttons


@pytest.mark.parametrize(
    "name", ["name", "https://github.com/owner/name", "a/b/c", 'a/b"><script>']
)
def test_what_is_no_repository_is_refused(name):
    with pytest.raises(launch.LaunchError, match="REPOSITORY must be owner/name, got"):
        launch.buttons(name, NAME)


def test_colabs_copy_installs_first_and_is_otherwise_the_notebook():
    notebook = nbformat.read(build.NOTEBOOKS / f"{NAME}.ipynb", as_version=4)
    copied = launch.for_colab(notebook, launch.address("owner/name"))
    nbformat.validate(copied)
    first, *others = copied.cells
    assert "!git clone --quiet --depth 1 https://github.com/owner/name course" in first.source
    assert '%pip install --quiet -e "course[notebooks,parity]"' in first.source
    # a file of its own has no folder of drawings beside it
    raw = "https://raw.githubusercontent.com/owner/name/HEAD/notebooks/figures/"
    assert any(raw in cell.source for cell in others)
    for copied_cell, cell in zip(others, notebook.cells, strict=True):
        assert copied_cell | {"source": copied_cell.source.replace(raw, "figures/")} == cell

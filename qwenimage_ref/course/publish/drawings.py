"""Drawings in the text of notebooks, and how a page shows them: ![alt](figures/NAME.svg)"""

import html
import re
from pathlib import Path

import nbformat

# what a drawing shows, and its file, from the folder of the notebooks
DRAWING = re.compile(r"!\[([^\]]*)\]\((?:\.\./)?(figures/\w+\.svg)\)")
SIZE = re.compile(r'width="\d+" height="\d+"')


def moved(notebook: nbformat.NotebookNode, to: str) -> None:
    """Drawings are taken from another place, where `to` leads: a folder or an address."""
    _replace(notebook, rf"![\1]({to}/\2)")


def as_html(notebook: nbformat.NotebookNode, static: Path, up: str) -> None:
    """Each drawing becomes a link to its file in a page's folder of pictures.

    static: that folder, `up` from the page. Light or dark follows the page.
    """

    def link(match: re.Match) -> str:
        alt, name = html.escape(" ".join(match[1].split())), match[2]
        size = SIZE.findall((static / name).read_text(encoding="utf-8"))[0]
        return (
            f'<div class="picture"><a class="drawing" href="{up}/{name}"><img src="{up}/{name}" '
            f'alt="{alt}" {size} class="dark-light" loading="lazy"></a></div>'
        )

    _replace(notebook, link)


def _replace(notebook: nbformat.NotebookNode, new) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = DRAWING.sub(new, cell.source)

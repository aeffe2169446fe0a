"""Slides: every heading, picture, formula and question of a chapter, and nothing of its hints."""

import html
import re

import nbformat
import pytest

from qwenimage_ref.course.publish import build, slides

STORED = [build.NOTEBOOKS / f"{source.stem}.ipynb" for source in build.sources()]
every_chapter = pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem[:2])


def deck(notebook) -> str:
    return slides.deck(notebook, lambda i: f'<img src="{i}.png" alt="picture number {i}">')


def shown(page: str) -> list[str]:
    return re.findall(r"<section>(.*?)</section>", page, re.S)


def small(*sources: str) -> nbformat.NotebookNode:
    cells = [nbformat.v4.new_markdown_cell(source) for source in sources]
    return nbformat.v4.new_notebook(cells=cells)


@every_chapter
def test_a_deck_has_every_picture_once_and_every_question(path):
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = sum("image/png" in output.get("data", {}) for output in outputs)
    page = deck(notebook)
    assert re.findall(r'src="(\d+)\.png"', page) == [*map(str, range(pictures))]
    assert page.count("<details>") == page.count("</details>") == 3
    assert 10 <= len(shown(page)) <= 50


@every_chapter
def test_a_deck_has_every_heading(path):
    notebook = nbformat.read(path, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    words = html.unescape(re.sub(r"<[^>]+>", "", deck(notebook)))
    headings = re.findall(r"(?m)^## ([^`$*\n]+)$", prose)
    assert [heading for heading in headings if heading not in words] == []


@every_chapter
def test_a_deck_holds_no_hint_no_raw_mark_and_no_address(path):
    page = deck(nbformat.read(path, as_version=4))
    body = re.sub(r"<(pre|code)>.*?</\1>", "", "".join(shown(page)), flags=re.S)
    assert "A nudge" not in page and "<summary>The solution" not in page
    assert not re.search(r"\$\$|FORMULA\d|\*\*|\]\(", body)
    assert not re.search(r"https?://", re.sub(r'xmlns="[^"]+"', "", page))


def test_two_sentences_of_a_paragraph_are_shown_and_one_of_an_item():
    page = deck(
        small(
            "# 00 · Title\n\nWhat it is.",
            "## Part\n\nOne. Two. Three.\n\n* First. More.\n* Second.",
        )
    )
    (_, part) = shown(page)
    assert "One. Two." in part and "Three" not in part
    assert "First." in part and "More" not in part and "Second." in part


def test_a_formula_is_mathml():
    (_, part) = shown(
        deck(small("# 00 · Title\n\nWhat it is.", "## Part\n\nSo $x$ is\n\n$$x = \\sigma$$"))
    )
    assert part.count("<math") == 2 and "$" not in part


def test_a_long_section_takes_several_slides():
    text = "## Part\n\n" + "\n\n".join(f"Paragraph {i}." for i in range(7))
    assert len(shown(deck(small("# 00 · Title\n\nWhat it is.", text)))) == 3


def test_a_formula_may_ask_for_large_brackets():
    plain, large = (slides.mathml(tex, True) for tex in ("x (y / z)", r"x \big(y \Big/ z\bigr)"))
    assert plain == large


def test_a_drawing_has_a_slide_of_its_own():
    drawing = f'{slides.DRAWING}<a><img alt="a block"></a></div>'
    page = deck(small(f"# 00 · Title\n\nBefore it.\n\n{drawing}\n\nAfter it."))
    with_it = [slide for slide in shown(page) if drawing in slide]
    assert len(shown(page)) == 3 and len(with_it) == 1
    assert "Before it" not in with_it[0] and "After it" not in with_it[0]

"""Glossary, reading list and rubric: they name chapters that hold what they say."""

import re
from pathlib import Path

import pytest

from qwenimage_ref.course.publish import build

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "site" / "pages"
LINK = re.compile(r"\[(\d\d)\]\(\.\./\.\./notebooks/([\w/]+)\.ipynb\)")
ARXIV = re.compile(r"arxiv\.org/abs/(\d{4}\.\d{5})")
DOI = re.compile(r"doi\.org/(10\.[\w./-]+)")
BOX = re.compile(
    r"<details><summary>Where this comes from, and what SD3 and FLUX do here</summary>"
    r"(.*?)</details>",
    re.S,
)
SECTION = re.compile(r"\n## Where this comes from\n(.*?)(?=\n## )", re.S)
SPINE = [path.stem for path in build.sources() if "01" <= path.stem[:2] <= "13"]
RIBS = [path.stem for path in build.sources() if "20" <= path.stem[:2] <= "37"]
WORKS = re.compile(
    r"^\* .+?, \*(?P<title>.+?)\*, (?P<year>\d{4}), "
    r"\[arXiv:(?P<number>\d{4}\.\d{4,5})\]\(https://arxiv\.org/abs/(?P=number)\)\. Chapter \["
)


def prose(name: str) -> str:
    """What a chapter says outside of its code."""
    notebook = build.from_source(ROOT / "notebooks" / "src" / f"{name}.py")
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def rows(heading: str) -> list[list[str]]:
    """The cells of a table of the glossary, row by row."""
    text = (PAGES / "glossary.md").read_text(encoding="utf-8")
    section = text[text.index(f"## {heading}") :].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]


def chapter(cell: str) -> str:
    number, name = LINK.fullmatch(cell.strip()).groups()
    assert name.startswith(number)
    return prose(name)


@pytest.mark.parametrize("page", ["glossary", "reading", "rubric"])
def test_every_chapter_that_a_page_names_exists(page):
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    for number, name in LINK.findall(text):
        assert name.startswith(number) and (ROOT / "notebooks" / "src" / f"{name}.py").is_file()


@pytest.mark.parametrize("row", rows("Terms"), ids=lambda row: row[0])
def test_the_chapter_of_a_term_holds_it(row):
    words = r"\s+".join(map(re.escape, row[0].split()))
    assert re.search(rf"(?<!\w){words}(?!\w)", chapter(row[-1]), re.I)


@pytest.mark.parametrize("row", rows("Dimension letters"), ids=lambda row: row[0])
def test_the_chapter_of_a_letter_uses_it(row):
    text = chapter(row[-1])
    for letter in re.findall(r"`(\w)`", row[0]):
        assert re.search(rf"`[^`\n]*\b{letter}\b[^`\n]*`|\$[^$]*\b{letter}\b[^$]*\$", text), letter


@pytest.mark.parametrize("row", rows("Symbols"), ids=lambda row: row[0])
def test_the_chapter_of_a_symbol_has_the_symbol_or_its_name_in_code(row):
    symbol, name = row[0].strip("$"), row[1].strip("`")
    assert symbol in chapter(row[-1]) or f"`{name}`" in chapter(row[-1])


def test_the_glossary_has_every_dimension_letter_of_the_symbols_chapter():
    text = (ROOT / "notebooks" / "src" / "91_symbols.py").read_text(encoding="utf-8")
    meanings = text[text.index("meanings = {") :].split("}")[0]
    letters = {*re.findall(r'"(\w)":', meanings), "B"}
    cells = " ".join(row[0] for row in rows("Dimension letters"))
    assert {*re.findall(r"`(\w)`", cells)} == letters


def test_terms_are_sorted_and_said_once():
    terms = [row[0].lower() for row in rows("Terms")]
    assert terms == sorted({*terms}) and len(terms) >= 40


def test_every_paper_that_a_chapter_links_is_on_the_reading_list():
    listed = {*ARXIV.findall((PAGES / "reading.md").read_text(encoding="utf-8"))}
    cited = {
        number for path in build.sources() for number in ARXIV.findall(path.read_text("utf-8"))
    }
    assert cited and cited <= listed


def test_every_article_that_a_chapter_links_is_on_the_reading_list():
    listed = {*DOI.findall((PAGES / "reading.md").read_text(encoding="utf-8"))}
    cited = {number for path in build.sources() for number in DOI.findall(path.read_text("utf-8"))}
    assert cited and cited <= listed


@pytest.mark.parametrize("name", SPINE, ids=lambda name: name[:2])
def test_a_chapter_of_the_spine_says_where_it_comes_from_and_what_others_do(name):
    (box,) = BOX.findall(prose(name))
    assert len({*re.findall(r"\]\((https?://[^)]+)\)", box)}) >= 3
    assert "SD3" in box and "FLUX.1" in box


@pytest.mark.parametrize("name", RIBS, ids=lambda name: name[:2])
def test_a_chapter_beside_the_spine_does_so_too(name):
    source = BOX.findall(prose(name)) + SECTION.findall(prose(name))
    assert len(source) == 1
    assert len({*re.findall(r"\]\((https?://[^)]+)\)", source[0])}) >= 3
    assert "SD3" in source[0] and "FLUX" in source[0]


def test_a_work_has_authors_title_year_number_and_chapter():
    lines = (PAGES / "reading.md").read_text(encoding="utf-8").splitlines()
    works = [WORKS.match(line) for line in lines if "arXiv:" in line]
    assert len(works) >= 30 and all(works)
    for work in works:  # the number begins with year and month of the first version
        assert work["number"].startswith(work["year"][2:]), work["title"]
    numbers = [work["number"] for work in works]
    assert len({*numbers}) == len(numbers)

"""Chapter 00 and the README in Chinese: the same code, the same commands, the same structure."""

import re
from pathlib import Path

import nbformat
import pytest

from qwenimage_ref.course.publish import build

ROOT = Path(__file__).resolve().parents[2]
TRANSLATED = [path for path in build.sources() if build.chinese_prose(path).exists()]
every_twin = pytest.mark.parametrize("source", TRANSLATED, ids=lambda path: path.stem[:2])
HAN = "[\u4e00-\u9fff]"


def stored(source: Path, *folder: str) -> nbformat.NotebookNode:
    path = Path(build.NOTEBOOKS, *folder, f"{source.stem}.ipynb")
    return nbformat.read(path, as_version=4)


def texts(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def pairs(source: Path) -> list[tuple[str, str]]:
    """English and Chinese text cells, side by side."""
    return list(zip(texts(stored(source)), texts(stored(source, "zh")), strict=True))


def test_the_first_chapter_is_translated():
    assert [path.stem[:2] for path in TRANSLATED] == ["00"]
    assert [*(build.NOTEBOOKS / "src" / "zh").iterdir()] == [
        build.chinese_prose(path) for path in TRANSLATED
    ]


@every_twin
def test_the_twin_has_the_chapters_own_code_and_outputs(source):
    ours, theirs = stored(source), stored(source, "zh")
    code = [[cell for cell in book.cells if cell.cell_type == "code"] for book in (ours, theirs)]
    assert code[0] == code[1] and ours.metadata == theirs.metadata


@every_twin
def test_the_stored_twin_is_what_its_prose_makes(source):
    built = build.chinese(source, stored(source))
    assert built == stored(source, "zh"), "run python -m qwenimage_ref.course.publish.build --zh"


@every_twin
def test_every_text_cell_has_the_same_headings_folds_and_lists(source):
    marks = (r"(?m)^#+ ", r"<details>", r"</details>", r"(?m)^\* ", r"(?m)^\d+\. ", r"(?m)^\| ")
    for english, chinese in pairs(source):
        counts = [[len(re.findall(mark, text)) for mark in marks] for text in (english, chinese)]
        assert counts[0] == counts[1], chinese


@every_twin
def test_every_text_cell_names_the_same_code(source):
    for english, chinese in pairs(source):
        names = [{*re.findall(r"`([^`\n]+)`", text)} for text in (english, chinese)]
        assert names[0] == names[1], chinese


@every_twin
def test_every_number_of_the_chinese_text_is_in_the_english(source):
    for english, chinese in pairs(source):
        english = re.sub(r"\.ipynb|\bzh\b", "", english)
        for number in re.findall(r"\d[\d,]*\d", chinese):
            assert number in english or number == "200", chinese  # 200 times 10^8 is 20 billion


@every_twin
def test_every_link_of_the_twin_leads_somewhere(source):
    for text in texts(stored(source, "zh")):
        for target in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (build.NOTEBOOKS / "zh" / target).is_file(), target


CHINESE_TEXTS = [*map(build.chinese_prose, TRANSLATED), ROOT / "README.zh.md"]


@pytest.mark.parametrize("path", CHINESE_TEXTS, ids=lambda path: path.name)
def test_chinese_is_punctuated_as_chinese(path):
    text = re.sub(
        r"```.*?```|`[^`\n]*`|\]\(.*?\)", "", path.read_text(encoding="utf-8"), flags=re.S
    )
    assert len(re.findall(HAN, text)) > 500
    assert re.findall(rf"{HAN}[,.;:?!()]|[,;?!]{HAN}", text) == []
    assert re.findall(rf"{HAN}[A-Za-z0-9]|[A-Za-z0-9]{HAN}", text) == [], "a space between them"


def test_the_chinese_notebook_is_refused_when_a_cell_is_not_translated():
    notebook = stored(TRANSLATED[0])
    notebook.cells.append(nbformat.v4.new_markdown_cell("One more thing."))
    with pytest.raises(build.BuildError, match="must have .* cells .*; translate what was added"):
        build.chinese(TRANSLATED[0], notebook)


def test_every_command_of_the_chinese_readme_is_in_the_english():
    english, chinese = ((ROOT / n).read_text("utf-8") for n in ("README.md", "README.zh.md"))
    for block in re.findall(r"```\w*\n(.*?)```", chinese, re.S):
        assert block in english
    commands = re.findall(r"`(make [a-z]+)", chinese)
    assert commands and all(command in re.sub(r"\s+", " ", english) for command in commands)


def test_every_link_of_the_chinese_readme_leads_somewhere():
    text = (ROOT / "README.zh.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / path).exists(), target
        assert path or f"\n## {anchor}\n" in text, target
    assert "README.zh.md" in (ROOT / "README.md").read_text(encoding="utf-8")

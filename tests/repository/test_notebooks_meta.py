"""What a notebook has to be, read off its file: nothing runs here, so that no rule is costly."""

import ast
import builtins
import functools
import io
import re
import statistics
from base64 import b64decode
from pathlib import Path

import nbformat
import pytest
from PIL import Image

import qwenimage_ref
from qwenimage_ref.course.publish import build
from qwenimage_ref.course.show import PALETTE, SHORTEST_ALT

ROOT = Path(__file__).resolve().parents[2]
SOURCES = build.sources(ROOT / "notebooks")
HEADER = ("You need", "You get", "Minutes", "Picture", "Number")
ENDING = ("Estimate first", "What production code does differently", "Try this")
FORBIDDEN = {
    "an install": r"(?m)^\s*[!%]\s*(pip|conda|apt|mamba)\b|subprocess",
    "a fetch": r"https?://|\b(requests|urllib|wget|curl|httpx)\b|hf_hub_download|snapshot_download",
    "an absolute path": r"""["'](/|~/|[A-Za-z]:\\)\w""",
    "a device that readers may not have": r"\bcuda\b|\bmps\b",
}
SPELLINGS = {  # wrong: right
    r"\b(Pytorch|pyTorch)\b": "PyTorch",
    r"\b(Qwen Image|QWen|Qwenimage)\b": "Qwen-Image",
    r"\b(Jupyterlab|Jupyter Lab)\b": "JupyterLab",
    r"\b(MM-DiT|MMDIT|MmDiT)\b": "MMDiT",
    r"\b(MS-RoPE|MSROPE)\b": "MSRoPE",
    r"\b(Github)\b": "GitHub",
}
every_notebook = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem[:2])


def built(source: Path) -> nbformat.NotebookNode:
    path = source.parent.parent / source.with_suffix(".ipynb").name
    assert path.exists(), f"{path.name} is not built; run make notebooks"
    return nbformat.read(path, as_version=4)


def cells(notebook, kind: str) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def prose(notebook) -> str:
    return "\n\n".join(cell.source for cell in cells(notebook, "markdown"))


def has_picture(cell) -> bool:
    return any("image/png" in output.get("data", {}) for output in cell.outputs)


def checks_numbers(cell) -> bool:
    """Whether the cell holds an assert that a wrong picture could fail."""
    tree = ast.parse(cell.source)
    return any(isinstance(node, ast.Assert) for node in ast.walk(tree))


def test_there_is_a_first_notebook():
    assert [path.stem[:2] for path in SOURCES][:1] == ["00"]


def test_every_built_notebook_has_a_source():
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks == {path.stem for path in SOURCES}


@every_notebook
def test_the_notebook_is_its_source_and_outputs(source):
    def inputs(notebook):
        return [(cell.cell_type, cell.id, cell.source, cell.metadata) for cell in notebook.cells]

    assert inputs(built(source)) == inputs(build.from_source(source)), "run make notebooks"


@every_notebook
def test_every_code_cell_was_run_once_and_in_order(source):
    # careful: nbval runs a cell without count and outputs but compares nothing, and passes
    code = cells(built(source), "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


@every_notebook
def test_no_cell_ended_in_an_error_or_wrote_to_stderr(source):
    for cell in cells(built(source), "code"):
        for output in cell.outputs:
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source


@every_notebook
def test_the_notebook_was_built_by_this_version(source):
    metadata = built(source).metadata
    assert metadata["qwenimage_ref"]["version"] == qwenimage_ref.__version__
    assert metadata["kernelspec"]["name"] == "python3"


@every_notebook
def test_cells_are_short(source):
    lengths = [len(cell.source.splitlines()) for cell in cells(built(source), "code")]
    assert max(lengths) <= 25
    assert statistics.median(lengths) <= 8


@every_notebook
def test_the_prose_is_at_most_2500_words(source):
    # the folds under an exercise hold hints and its solution: whoever needs none reads none
    unfolded = re.sub(r"(?s)<details>.*?</details>", "", prose(built(source)))
    assert len(re.findall(r"[\w'’-]+", unfolded)) <= 2500


@every_notebook
def test_the_notebook_opens_with_what_it_takes_and_gives(source):
    opening = built(source).cells[0]
    assert opening.cell_type == "markdown"
    number = source.stem[:2]
    assert opening.source.startswith(f"# {number} · "), "title: number, dot, name"
    assert [word for word in HEADER if f"**{word}**" not in opening.source] == []


@every_notebook
def test_the_notebook_ends_with_estimates_production_and_more_to_try(source):
    text = prose(built(source))
    places = [text.find(f"## {heading}") for heading in ENDING]
    assert -1 not in places and places == sorted(places)
    estimates = text[places[0] : places[1]]
    assert estimates.count("<details>") == estimates.count("</details>") == 3


@every_notebook
def test_every_fold_is_closed_and_lets_markdown_in(source):
    for cell in cells(built(source), "markdown"):
        folds = re.findall(
            r"<details><summary>.+?</summary>\n\n.+?\n\n</details>", cell.source, re.S
        )
        assert len(folds) == cell.source.count("<details") == cell.source.count("</details>")


@every_notebook
def test_every_picture_in_the_text_is_here_and_described(source):
    for alt, target in re.findall(r"!\[([^\]]*)\]\((.*?)\)", prose(built(source))):
        assert len(alt) >= SHORTEST_ALT, target
        assert (source.parent.parent / target).is_file(), target


@every_notebook
def test_every_painted_picture_is_described(source):
    for cell in cells(built(source), "code"):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                alt = output.metadata.get("image/png", {}).get("alt", "")
                assert len(alt) >= SHORTEST_ALT, cell.source


@every_notebook
def test_every_picture_is_small(source):
    for cell in cells(built(source), "code"):
        for output in cell.outputs:
            if data := output.get("data", {}).get("image/png"):
                picture = Image.open(io.BytesIO(b64decode(data)))
                assert picture.mode == "P" and picture.width <= 1200, cell.source
    path = source.parent.parent / source.with_suffix(".ipynb").name
    assert path.stat().st_size <= 1_000_000


@every_notebook
def test_every_picture_has_a_numeric_twin(source):
    code = cells(built(source), "code")
    pictures = [i for i, cell in enumerate(code) if has_picture(cell)]
    assert pictures, "a notebook has at least one picture"
    for i in pictures:
        assert any(map(checks_numbers, code[i : i + 2])), f"no assert after: {code[i].source}"


@every_notebook
def test_every_local_link_leads_somewhere(source):
    for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#]+)", prose(built(source))):
        if not target.startswith(("http:", "https:")):
            assert (source.parent.parent / target).exists(), target


def test_the_chapters_form_one_thread_from_the_first_to_the_last():
    order = [source.stem for source in SOURCES]
    for source, following in zip(SOURCES, [*order[1:], None]):
        links = re.findall(r"^Next:[^(]*\((\w+)\.ipynb\)", prose(built(source)), re.M)
        assert links == ([following] if following else []), source.stem


@every_notebook
@pytest.mark.parametrize("what", FORBIDDEN)
def test_code_needs_nothing_but_the_repository(source, what):
    for cell in cells(built(source), "code"):
        assert not re.search(FORBIDDEN[what], cell.source), f"{what} in: {cell.source}"


@every_notebook
def test_at_most_one_output_in_twenty_is_not_compared_and_each_says_why(source):
    code = cells(built(source), "code")
    ignored = [
        cell
        for cell in code
        if {"nbval-ignore-output", "nbval-skip"} & {*cell.metadata.get("tags", ())}
    ]
    assert not any("NBVAL_" in cell.source for cell in code), "use tags, which readers do not see"
    assert len(ignored) <= len(code) / 20
    for cell in ignored:
        assert len(cell.metadata.get("reason", "")) >= 10, cell.source


@every_notebook
def test_every_exercise_has_a_stub_an_answer_and_a_checker(source):
    code = cells(built(source), "code")
    for cell, following in zip(code, [*code[1:], None]):
        if "exercise" in cell.metadata.get("tags", ()):
            assert "= ..." in cell.source or "raise NotImplementedError" in cell.source
            assert following is not None and "unless_solved(" in following.source
            assert re.search(rf"check\.ex_{source.stem[:2]}_\w+\(", following.source)


@every_notebook
def test_names_are_spelled_as_their_owners_do(source):
    text = prose(built(source))
    wrong = {m.group(): right for p, right in SPELLINGS.items() for m in re.finditer(p, text)}
    assert wrong == {}


@every_notebook
def test_colours_come_from_the_palette(source):
    allowed = {colour.lower() for colour in PALETTE.values()}
    for cell in cells(built(source), "code"):
        assert {c.lower() for c in re.findall(r"#[0-9a-fA-F]{6}\b", cell.source)} <= allowed


# ---- names in backticks


def names_in(code: str) -> set[str]:
    """What a piece of Python defines: functions, classes, arguments, variables, attributes."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found |= {*node.name.split("."), node.asname or node.name}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return found


@functools.cache
def names_of_package() -> set[str]:
    files = [*(ROOT / "qwenimage_ref").rglob("*.py"), ROOT / "notebooks" / "one_file.py"]
    found = set.union(*(names_in(path.read_text(encoding="utf-8")) for path in files))
    return found | {path.stem for path in files} | {path.parent.name for path in files}


def unknown_names(text: str, code: str) -> list[str]:
    """Names in backticks that neither the package nor the code has."""
    known = names_of_package() | names_in(code) | set(dir(builtins))
    quoted = re.findall(r"(?<!`)`([A-Za-z_][\w.]*)(?:\(\))?`(?!`)", text)
    return [name for name in quoted if not {*name.removesuffix(".py").split(".")} <= known]


@every_notebook
def test_every_name_in_backticks_exists(source):
    notebook = built(source)
    code = "\n".join(cell.source for cell in cells(notebook, "code"))
    assert unknown_names(prose(notebook), code) == []


def test_a_name_that_nothing_has_is_found():
    text = "`qwenimage_ref.sampler.guide` and `euler_step()`, `mine`, but `sampler.steer`"
    assert unknown_names(text, "mine = 1") == ["sampler.steer"]

"""The course as a static site: every page there, every link leading somewhere, nothing fetched."""

import importlib.util
import io
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
DRAWINGS = sorted((ROOT / "notebooks" / "figures").glob("*.svg"))
every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem[:2])

if importlib.util.find_spec("sphinx") is None:
    pytest.skip("Sphinx is not installed; the site was not checked", allow_module_level=True)


@pytest.fixture(scope="module")
def builder():
    spec = importlib.util.spec_from_file_location("site_build", ROOT / "site" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(builder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "html"
    builder.build(folder, repository="owner/name")
    return folder


class Page(HTMLParser):
    """What stands in a page: its tags with their attributes, its ids and its words."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.ids: set[str] = set()
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = {name: value or "" for name, value in attrs}
        self.tags.append((tag, found))
        self.ids |= {found[name] for name in ("id", "name") if name in found}

    def handle_data(self, data):
        self.words += data


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(site.rglob("*.html"))}


def addresses(page: Page) -> list[str]:
    """Whatever the page links to or loads."""
    return [found[key] for _, found in page.tags for key in ("href", "src") if key in found]


@every_notebook
def test_the_notebook_is_a_page_with_its_pictures_and_words(site, pages, notebook):
    page = pages[site / "notebooks" / f"{notebook.stem}.html"]
    content = nbformat.read(notebook, as_version=4)
    outputs = [output for cell in content.cells for output in cell.get("outputs", ())]
    alts = [
        output.metadata["image/png"]["alt"]
        for output in outputs
        if "image/png" in output.get("data", {})
    ]
    shown = [found["alt"] for tag, found in page.tags if tag == "img"]
    assert [alt for alt in alts if alt not in shown] == []
    assert content.cells[0].source.splitlines()[0].removeprefix("# ") in page.words
    said = [output.text.splitlines()[-1] for output in outputs if output.output_type == "stream"]
    assert [line for line in said if line not in page.words] == []


def test_a_drawing_stands_on_its_page_and_slide_and_leads_to_its_file(site, pages):
    name = "06_one_mmdit_block.html"
    for page, address in (
        ("notebooks", "../_static/figures/mmdit_block.svg"),
        ("slides", "../_static/figures/mmdit_block.svg"),
    ):
        shown = [found for tag, found in pages[site / page / name].tags if tag == "img"]
        (drawing,) = [found for found in shown if found["src"] == address]
        assert drawing["alt"].startswith("Block diagram of one block")
        assert (site / page / address).resolve().is_file()


def test_a_copy_for_colab_takes_its_drawings_from_the_repository(site):
    text = (site / "colab" / "06_one_mmdit_block.ipynb").read_text(encoding="utf-8")
    assert (
        "(https://raw.githubusercontent.com/owner/name/HEAD/notebooks/figures/mmdit_block" in text
    )
    assert "](figures/" not in text


def test_the_front_page_leads_to_every_chapter_by_its_picture(pages, site):
    front = pages[site / "index.html"]
    cards = [f["href"] for tag, f in front.tags if tag == "a" and f.get("class") == "card"]
    assert cards == [f"notebooks/{notebook.stem}.html" for notebook in NOTEBOOKS]
    faces = [f["src"] for tag, f in front.tags if tag == "img" and "face_" in f.get("src", "")]
    assert len(faces) == len(NOTEBOOKS)


def test_every_chapter_has_slides_buttons_and_a_copy_for_colab(site, pages):
    for notebook in NOTEBOOKS:
        assert f"slides/{notebook.stem}.html" in addresses(pages[site / "index.html"])
        links = " ".join(addresses(pages[site / "notebooks" / f"{notebook.stem}.html"]))
        assert f"mybinder.org/v2/gh/owner/name/HEAD?labpath=notebooks%2F{notebook.name}" in links
        assert f"blob/gh-pages/colab/{notebook.name}" in links
        assert (site / "colab" / notebook.name).is_file()


def test_nothing_is_loaded_from_elsewhere(pages):
    loading = {"script", "link", "img", "iframe", "source", "video", "audio", "object", "embed"}
    remote = [
        (path.name, tag, value)
        for path, page in pages.items()
        for tag, found in page.tags
        if tag in loading
        for key in ("src", "href", "srcset", "data")
        if re.match(r"(https?:)?//", value := found.get(key, ""))
    ]
    assert remote == []


def test_neither_do_stylesheets_and_inline_scripts_fetch(site):
    fetch = re.compile(
        r"""url\(["']?(?:https?:)?//|@import\s+["'](?:https?:)?//|import\(["']http"""
    )
    files = [*site.rglob("*.css"), *site.rglob("*.html")]
    assert [f.name for f in files if fetch.search(f.read_text(encoding="utf-8"))] == []


def test_a_wide_picture_is_scrolled_on_a_phone_and_a_narrow_one_is_not(builder):
    def shown(width):
        data = io.BytesIO()
        Image.new("RGB", (width, 10)).save(data, "PNG")
        return builder.img("a.png", data.getvalue(), "a level line")

    assert 'class="dark-light wide"' in shown(601) and 'class="dark-light"' in shown(600)


def test_every_chapter_can_copy_its_code_and_the_button_is_a_file_of_the_site(pages, site):
    for notebook in NOTEBOOKS:
        page = pages[site / "notebooks" / f"{notebook.stem}.html"]
        scripts = [
            found.get("src", "").split("?")[0] for tag, found in page.tags if tag == "script"
        ]
        assert "../_static/course.js" in scripts
    assert (site / "_static" / "course.js").is_file()


def test_no_page_needs_a_script_for_its_formulas_or_widgets(pages):
    for page in pages.values():
        scripts = " ".join(found.get("src", "") for tag, found in page.tags if tag == "script")
        assert not re.search("mathjax|require|widgets|thebe", scripts, re.I)


def test_a_formula_is_set_as_mathml(pages, site):
    formulas = {path.name[:2] for path, page in pages.items() if "math" in dict(page.tags)}
    with_latex = {p.name[:2] for p in NOTEBOOKS if '"$$' in p.read_text(encoding="utf-8")}
    assert "12" in with_latex <= formulas


def test_every_link_and_every_picture_leads_somewhere(pages, site):
    lost = []
    for path, page in pages.items():
        for address in addresses(page):
            parts = urlsplit(address)
            if parts.scheme or address.startswith("//"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file() or site not in target.parents:
                lost.append((path.name, address))
            elif parts.fragment and target in pages and parts.fragment not in pages[target].ids:
                lost.append((path.name, address))
    assert lost == []


def test_every_picture_is_described(pages):
    for path, page in pages.items():
        for tag, found in page.tags:
            if tag == "img":
                assert len(found.get("alt", "")) >= 10, (path.name, found)


@every_notebook
def test_every_fold_of_the_notebook_is_one_on_the_page(site, notebook):
    text = (site / "notebooks" / f"{notebook.stem}.html").read_text(encoding="utf-8")
    cells = nbformat.read(notebook, as_version=4).cells
    folds = sum(cell.source.count("<details>") for cell in cells if cell.cell_type == "markdown")
    assert text.count("<details>") == folds
    assert text.count("<details") == text.count("</details>")


@every_notebook
def test_the_download_button_gives_the_notebook_itself(site, notebook):
    given = site / "_sources" / "notebooks" / notebook.name
    assert given.read_bytes() == notebook.read_bytes()


def test_the_student_edition_can_be_downloaded_and_holds_no_answer(site, pages):
    downloads = [f["href"] for tag, f in pages[site / "index.html"].tags if "download" in f]
    (address,) = [address for address in downloads if address.endswith(".zip")]
    with zipfile.ZipFile(site / address) as packed:
        held = {name: packed.read(name).decode("utf-8") for name in packed.namelist()}
    drawings = {name for name in held if name.startswith("editions/student/figures/")}
    assert {Path(name).name for name in drawings} == {path.name for path in DRAWINGS}
    held = {name: text for name, text in held.items() if name not in drawings}
    assert sorted(held) == [f"editions/student/{notebook.name}" for notebook in NOTEBOOKS]
    for name, text in held.items():
        nbformat.validate(json.loads(text))
        assert "unless_solved" not in text and "<summary>The solution" not in text, name


def test_the_site_is_made_for_narrow_screens(pages):
    for path, page in pages.items():
        metas = [found.get("content", "") for tag, found in page.tags if tag == "meta"]
        assert any("width=device-width" in content for content in metas), path.name


def test_a_card_says_its_words_without_marks(builder):
    assert builder.plain("`pipe` and *all* of [01](01_map.ipynb)") == "pipe and all of 01"


# ---- what can go wrong


def test_the_model_in_one_file_can_be_downloaded(pages, site):
    given = site / "_static" / "one_file.py"
    assert given.read_bytes() == (ROOT / "notebooks" / "one_file.py").read_bytes()
    assert "_static/one_file.py" in addresses(pages[site / "index.html"])


def test_a_folder_without_notebooks_is_one_clear_line(builder, tmp_path):
    with pytest.raises(builder.SiteError, match="there is no notebook in .*; run make notebooks"):
        builder.build(tmp_path / "html", tmp_path)


def test_a_chapter_shows_the_chosen_picture_or_else_its_first(builder, monkeypatch):
    pictures = [(b"1", "a first picture"), (b"2", "a second picture")]
    chapter = builder.Chapter(NOTEBOOKS[0], "", {}, pictures)
    for words, face in (("second", pictures[1]), ("third", pictures[0])):
        monkeypatch.setitem(builder.FACES, "00", words)
        assert chapter.face == face


def test_what_a_page_has_to_know_of_a_cell(builder):
    def cell(text, **metadata):
        output = nbformat.v4.new_output("execute_result", {"text/plain": text})
        return nbformat.v4.new_code_cell("x", outputs=[output], metadata=metadata)

    assert builder.marks(cell("sliders for rows and columns over a map")) == ["widget", "words"]
    assert builder.marks(cell("(1, 64, 64)")) == ["words"]
    assert builder.marks(cell("torch   >=2.9\nnumpy   >=2.0")) == []
    assert builder.marks(nbformat.v4.new_code_cell("x")) == []
    hidden = {"jupyter": {"source_hidden": True}}
    assert builder.marks(cell("right", **hidden)) == ["hide-input", "words"]


def test_a_site_that_cannot_be_built_leaves_the_old_one(builder, tmp_path, monkeypatch):
    (tmp_path / "index.html").write_text("old")
    monkeypatch.setattr(builder, "build_main", lambda arguments: 1)
    with pytest.raises(builder.SiteError, match="could not build"):
        builder.build(tmp_path)
    assert (tmp_path / "index.html").read_text() == "old"

"""Build the course as a static site: the notebooks as they are committed, and a front page.

python site/build.py [--to FOLDER] [--repository OWNER/NAME]     default: site/_build

With a public repository on GitHub, every chapter has buttons for Binder and Colab (see launch.py).
Nothing is executed and nothing fetched; the pages need no network either.
"""

import argparse
import base64
import html
import io
import re
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import nbformat
from PIL import Image
from sphinx.cmd.build import build_main

from qwenimage_ref.course.publish import drawings, editions, launch, slides, syllabus
from qwenimage_ref.course.publish.build import CHINESE
from qwenimage_ref.course.publish.whole import folder_beside, replace_folder

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WIDE = 600  # pixels; on a phone a wider picture is scrolled, or its letters could not be read
ONE_FILE = ROOT / "notebooks" / "one_file.py"
PARTS = (  # of the course, by the first number that is no longer theirs
    (20, "The spine", "From the sentence to the picture, one part of the machine a chapter."),
    (40, "Ribs", "What else a text-to-image model can be made to do. In any order."),
    (100, "Appendices", "To look things up."),
)
# which picture stands for a chapter on the front page, by words of its description; else the first
FACES = {
    "01": "Three bars",
    "05": "Position map of a grid 8 x 8",
    "06": "A square map in four parts",
    "08": "A gray cloud",
    "11": "A wall of",
    "12": "through the stages of a training",
    "13": "A bar for every question",
}


class SiteError(RuntimeError):
    """Something that keeps the site from being built; says what to do."""


@dataclass(frozen=True)
class Chapter:
    """A notebook, with what its header says and the pictures it holds."""

    path: Path
    title: str
    header: dict[str, str]
    pictures: list[tuple[bytes, str]]  # PNG, description

    @property
    def number(self) -> str:
        return self.path.stem[:2]

    @property
    def face(self) -> tuple[bytes, str]:
        """The picture that stands for the chapter, and its description."""
        words = FACES.get(self.number, "")
        chosen = [picture for picture in self.pictures if words in picture[1]]
        return (chosen or self.pictures)[0]


def chapters(folder: Path) -> list[Chapter]:
    return [read(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))]


def read(path: Path) -> Chapter:
    notebook = nbformat.read(path, as_version=4)
    first = notebook.cells[0].source
    pictures = [
        (base64.b64decode(output.data["image/png"]), output.metadata["image/png"]["alt"])
        for output in painted(notebook)
    ]
    return Chapter(path, first.splitlines()[0].removeprefix("# "), syllabus.header(first), pictures)


def painted(notebook) -> list:
    """The outputs that are pictures, in their order."""
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    return [output for output in outputs if "image/png" in output.get("data", {})]


# ---- pages


def adapt(chapter: Chapter, target: Path, pictures: Path, up: str = "../", top: str = "") -> None:
    """The notebook as a page: pictures as files that say what they show, cells marked for style.

    up: from the page to the site's top. top: HTML that goes under the chapter's header.
    """
    notebook = nbformat.read(chapter.path, as_version=4)
    notebook.cells[0].source += f"\n\n{top}"
    drawings.as_html(notebook, pictures, f"{up}_static")
    for i, output in enumerate(painted(notebook)):
        name = f"{chapter.number}_{i:02}.png"
        data, alt = chapter.pictures[i]
        (pictures / name).write_bytes(data)
        address = f"{up}_static/{name}"
        link = f'<a class="picture" href="{address}">{img(address, data, alt)}</a>'
        output.data = nbformat.from_dict({"text/html": link})
    for cell in notebook.cells:
        cell.metadata["tags"] = [*cell.metadata.get("tags", ()), *marks(cell)]
    nbformat.write(notebook, target)


def marks(cell) -> list[str]:
    """What the page has to know of a cell: "hide-input" is myst-nb's, the others course.css's."""
    outputs = cell.get("outputs", ())
    values = [  # of plain ones, a widget is the only one that says in words what it is
        output.data["text/plain"]
        for output in outputs
        if {*output.get("data", ())} == {"text/plain"}
    ]
    texts = values + [output.text for output in outputs if output.output_type == "stream"]
    marked = {
        "hide-input": cell.metadata.get("jupyter", {}).get("source_hidden"),
        "widget": any(re.match(r"\w+ [a-z]+,? [a-z]+ ", text) for text in values),
        "words": texts and not any(re.search(r"(?m)^ |  ", text) for text in texts),
    }
    return [mark for mark, holds in marked.items() if holds]


def img(address: str, data: bytes, alt: str) -> str:
    """An <img> that takes its room before it is loaded."""
    width, height = Image.open(io.BytesIO(data)).size
    wide = " wide" if width > WIDE else ""
    return (  # careful: without that class the theme darkens it at night, and the colours are wrong
        f'<img src="{address}" alt="{html.escape(alt)}" width="{width}" height="{height}" '
        f'class="dark-light{wide}" loading="lazy">'
    )


def front_page(listed: list[Chapter], template: str, static: Path) -> str:
    """site/index.md with the chapters put in: cards to choose from, and Sphinx's list of pages."""
    cards, contents, low = [], [], 0
    for high, name, words in PARTS:
        part = [chapter for chapter in listed if low <= int(chapter.number) < high]
        low = high
        if part:
            cards.append(f'## {name}\n\n{words}\n\n<div class="cards">')
            cards += [card(chapter, static) for chapter in part]
            cards.append("</div>\n")
            pages = "\n".join(f"notebooks/{chapter.path.stem}" for chapter in part)
            contents.append(f"```{{toctree}}\n:hidden:\n:caption: {name}\n\n{pages}\n```\n")
    decks = " · ".join(f'<a href="slides/{c.path.stem}.html">{c.number}</a>' for c in listed)
    template = template.replace("<!-- slides -->", decks)
    return template.replace("<!-- chapters -->", "\n".join(cards + contents))


def card(chapter: Chapter, static: Path) -> str:
    data, alt = chapter.face
    name = f"face_{chapter.number}.png"
    (static / name).write_bytes(data)
    picture = img(f"_static/{name}", data, alt)
    return (
        f'<a class="card" href="notebooks/{chapter.path.stem}.html">{picture}'
        f"<strong>{html.escape(chapter.title)}</strong>"
        f"<span>{html.escape(plain(chapter.header['You get']))}</span></a>"
    )


def plain(text: str) -> str:
    """Markdown without its links and marks."""
    return re.sub(r"[`*]", "", re.sub(r"\[(.+?)\]\(.+?\)", r"\1", text))


# ---- the whole site


def chinese_pages(notebooks: Path, target: Path, static: Path) -> None:
    """The Chinese twins, with the pictures of the chapters whose outputs they share."""
    for chapter in chapters(notebooks / CHINESE):
        (target / CHINESE).mkdir(exist_ok=True)
        adapt(chapter, target / CHINESE / chapter.path.name, static, up="../../")


def extra_pages(listed: list[Chapter], folder: Path) -> None:
    """Glossary, reading list and rubric as they are in site/pages, and the syllabus computed."""
    folder.mkdir()
    for path in (HERE / "pages").glob("*.md"):
        text = path.read_text(encoding="utf-8").replace("](../../notebooks/", "](../notebooks/")
        (folder / path.name).write_text(text, encoding="utf-8")
    sources = [chapter.path.parent / "src" / f"{chapter.path.stem}.py" for chapter in listed]
    text = syllabus.page([*map(syllabus.read, sources)], "../notebooks/{}.ipynb")
    (folder / "syllabus.md").write_text(text, encoding="utf-8")


def student_edition(listed: list[Chapter], file: Path) -> None:
    """The notebooks without answers, in a zip to unpack in the folder of the repository."""
    home = editions.EDITIONS / "student"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for chapter in listed:
            source = chapter.path.parent / "src" / f"{chapter.path.stem}.py"
            notebook, _ = editions.edition("student", source, home)
            name = (home / chapter.path.name).relative_to(ROOT).as_posix()
            packed.writestr(name, nbformat.writes(notebook) + "\n")
        for path in sorted((ROOT / "notebooks" / "figures").glob("*.svg")):
            packed.write(path, (home / "figures" / path.name).relative_to(ROOT).as_posix())


def beside_the_pages(listed: list[Chapter], built: Path, repository: str) -> None:
    """What Sphinx does not make: the decks of slides, Colab's copies, the notebooks themselves."""
    (built / "slides").mkdir()
    for chapter in listed:
        notebook = nbformat.read(chapter.path, as_version=4)

        def picture(i: int, chapter=chapter) -> str:
            return img(f"../_static/{chapter.number}_{i:02}.png", *chapter.pictures[i])

        if repository:
            (built / "colab").mkdir(exist_ok=True)
            copied = launch.for_colab(notebook, launch.address(repository))
            nbformat.write(copied, built / "colab" / chapter.path.name)
        drawings.as_html(notebook, built / "_static", "../_static")
        page = slides.deck(notebook, picture)
        (built / "slides" / f"{chapter.path.stem}.html").write_text(page, encoding="utf-8")


def build(target: Path, notebooks: Path = ROOT / "notebooks", repository: str = "") -> None:
    """Write the site to `target`; the old one there goes only when the new one is whole."""
    listed = chapters(notebooks)
    if not listed:
        raise SiteError(f"there is no notebook in {notebooks}; run make notebooks")
    with folder_beside(target) as scratch:
        source, built = scratch / "source", scratch / "html"
        static = source / "static"
        (source / "notebooks").mkdir(parents=True)
        shutil.copytree(HERE / "static", static)
        shutil.copytree(ROOT / "notebooks" / "figures", static / "figures")
        shutil.copy(HERE / "conf.py", source)
        shutil.copy(ROOT / "data" / "pictures" / "showcase.png", static)
        for chapter in listed:
            top = launch.buttons(repository, chapter.path.stem) if repository else ""
            adapt(chapter, source / "notebooks" / chapter.path.name, static, top=top)
        for folder in (static, source / "notebooks"):  # to download, and where chapter 92 links to
            shutil.copy(ONE_FILE, folder)
        chinese_pages(notebooks, source / "notebooks", static)
        extra_pages(listed, source / "pages")
        student_edition(listed, static / "student-edition.zip")
        template = (HERE / "index.md").read_text(encoding="utf-8")
        (source / "index.md").write_text(front_page(listed, template, static), encoding="utf-8")
        # every warning is an error: a link that leads nowhere, a language without colours
        options = ["-q", "-W", "--keep-going", "-b", "html", "-d", str(scratch / "doctrees")]
        if build_main([*options, str(source), str(built)]):
            raise SiteError("Sphinx could not build the site; its messages stand above")
        for chapter in listed + chapters(
            notebooks / CHINESE
        ):  # the button "download" gives the notebook and not the page's copy
            place = built / "_sources" / "notebooks" / chapter.path.relative_to(notebooks)
            shutil.copy(chapter.path, place)
        beside_the_pages(listed, built, repository)
        for left_over in (built / "_static").glob("*.html"):  # the theme's templates are no pages
            left_over.unlink()
        replace_folder(built, target)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python site/build.py")
    parser.add_argument("--to", type=Path, default=HERE / "_build")
    parser.add_argument("--repository", default="", help="OWNER/NAME on GitHub, for the buttons")
    options = parser.parse_args(arguments)
    target = options.to
    try:
        build(target, repository=options.repository)
    except (SiteError, editions.EditionError, launch.LaunchError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"{target} could not be written ({error.strerror}); make room. The old site stays",
            file=sys.stderr,
        )
        return 1
    print(f"open {target / 'index.html'} in a browser")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Slides of a chapter, from the stored notebook: its headings, first sentences, formulas, pictures.

A deck is one HTML page that loads nothing but the site's own pictures. Arrow keys turn the slides,
and a printed deck has a slide on each page.
"""

import html
import re
from collections.abc import Callable

from docutils.utils.math.latex2mathml import tex2mathml
from markdown_it import MarkdownIt

LONGEST_CODE = 16  # lines that can still be read from the last row
MOST_POINTS = 5  # list points on a slide with text alone
BESIDE = 2  # points above code or a picture
DRAWING = '<div class="picture">'  # how a drawing in the text begins, once it is HTML
FOLD = re.compile(r"<details><summary>.*?</summary>\s*(.*?)</details>", re.S)
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z*`$(\[])")
MATH = re.compile(r"\$\$(.+?)\$\$|(?<![\w$])\$(?!\s)([^$\n]+?)\$(?!\w)", re.S)
SIZES = re.compile(r"\\(?:[bB]igg?[lrm]?|textstyle)(?![a-zA-Z])")
_markdown = MarkdownIt("commonmark").enable("table")


def deck(notebook, picture: Callable[[int], str]) -> str:
    """The deck of a stored notebook, a page of HTML. picture: number of a picture -> its <img>."""
    title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
    shown, heading, points, pictures = [], title, [], 0
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for name, body in _sections(cell.source, heading):
                if name != heading:
                    shown += _text_slides(heading, points)
                    heading, points = name, []
                points = points + _points_of(name, body)
            continue
        bodies = [f"<pre>{html.escape(cell.source)}</pre>"] if _worth_showing(cell) else []
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                twin = _last_line(notebook.cells[number : number + 3])
                bodies.append(f'<div class="picture">{picture(pictures)}{twin}</div>')
                pictures += 1
        for body in bodies:
            beside = [] if _has_drawing(points[-BESIDE:]) else points[-BESIDE:]
            shown += _text_slides(heading, points[: len(points) - len(beside)])
            shown.append(_slide(heading, "\n".join([*beside, body])))
            points = []
    shown += _text_slides(heading, points)
    return PAGE.format(title=html.escape(title), slides="\n".join(shown))


def _sections(text: str, heading: str) -> list[tuple[str, str]]:
    """A text cell cut at its headings; what stands before the first one has the last heading.

    A heading with nothing but a smaller one below it becomes "heading: smaller heading".
    """
    text = re.sub(r"(?m)^## (.+)\n\s*### ", r"## \1: ", text)
    parts = re.split(r"(?m)^#{1,3} (.+)$", text)
    return [*zip([heading, *parts[1::2]], parts[0::2])]


def _worth_showing(cell) -> bool:
    """Whether the cell defines something, is short, and is not folded away in the notebook."""
    hidden = cell.metadata.get("jupyter", {}).get("source_hidden")
    defines = re.search(r"(?m)^(def|class) ", cell.source)
    return bool(defines) and not hidden and len(cell.source.splitlines()) <= LONGEST_CODE


def _last_line(cells: list) -> str:
    """The line "...: ok" that follows a picture, which is its numeric twin."""
    for cell in cells:
        for output in cell.get("outputs", ()):
            lines = output.get("text", "").strip().splitlines()
            if lines and lines[-1].endswith(": ok"):
                return f'<p class="twin">{html.escape(lines[-1])}</p>'
    return ""


def _text_slides(heading: str, points: list[str]) -> list[str]:
    """Points in slides of a few; a drawing has one of its own."""
    slides = [[]]
    for point in points:
        if _has_drawing([point, *slides[-1][-1:]]) or len(slides[-1]) == MOST_POINTS:
            slides.append([])
        slides[-1].append(point)
    return [_slide(heading, "\n".join(some)) for some in slides if some]


def _has_drawing(points: list[str]) -> bool:
    return any(point.startswith(DRAWING) for point in points)


def _points_of(heading: str, body: str) -> list[str]:
    """What a section's slides say: the beginnings of its paragraphs, or questions with answers."""
    blocks = re.split(r"\n\s*\n", FOLD.sub("", body).strip())
    if heading.startswith("Estimate"):
        questions = [_html(block) for block in blocks if block.startswith("**")]
        answers = [
            f"<details><summary>Answer</summary>{_html(a)}</details>" for a in FOLD.findall(body)
        ]
        return ["".join(pair) for pair in zip(questions, answers)]
    whole = heading.startswith("Exercise")
    points = [
        _point(block, whole) for block in blocks if block.startswith(DRAWING) or block[:1] != "<"
    ]
    return [point for point in points if point]


def _point(block: str, whole: bool) -> str:
    """Two sentences of a paragraph, one of each item of a list; tables and formulas as they are."""
    if block.startswith(DRAWING):
        return block
    if whole or block.startswith(("|", "$$", "```")):
        return _html(block)
    block = re.sub(r"(?m)^\[\w+\]: \S+$", "", block).strip()  # addresses of links
    items = re.split(r"\n(?=(?:\* |\d+\. ))", block)
    most = 1 if len(items) > 1 else 2
    return _html("\n".join(" ".join(SENTENCE.split(" ".join(i.split()))[:most]) for i in items))


def mathml(tex: str, as_block: bool) -> str:
    """A formula in LaTeX -> MathML. Raises docutils' MathError."""
    # docutils lacks one name, and sizes of brackets and sums, which MathML finds by itself
    tex = SIZES.sub("", tex.replace(r"\dots", r"\ldots"))
    return tex2mathml(tex, as_block)


def _html(text: str) -> str:
    """Markdown -> HTML, formulas as MathML, links as their words."""
    formulas = []

    def keep(match) -> str:
        formulas.append(mathml(match[1] or match[2], as_block=bool(match[1])))
        return f"FORMULA{len(formulas) - 1}END"

    text = MATH.sub(keep, text)
    text = re.sub(r"\[([^\]]+)\](?:\([^)]+\)|\[\w+\])", r"\1", text)
    rendered = _markdown.render(text)
    return re.sub(r"FORMULA(\d+)END", lambda match: formulas[int(match[1])], rendered)


def _slide(heading: str, body: str) -> str:
    name = _html(heading).removeprefix("<p>").removesuffix("</p>\n")
    return f"<section><h2>{name}</h2>\n<div>{body}</div></section>"


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
html {{ scroll-snap-type: y mandatory; font: clamp(15px, 3.3vmin, 40px)/1.45 sans-serif; }}
body {{ margin: 0; color: #222; background: #fff; }}
section {{ box-sizing: border-box; height: 100vh; padding: 5vmin 8vmin; overflow: hidden auto;
    scroll-snap-align: start; display: flex; flex-direction: column; }}
h2 {{ margin: 0 0 2vmin; color: #0072b2; font-size: 1.5em; line-height: 1.2; }}
section > div {{ flex: 1; min-height: 0; display: flex; flex-direction: column; gap: 1.2vmin; }}
section > div > * {{ margin: 0; }}
.picture {{ flex: 1; min-height: 0; display: flex; flex-direction: column; align-items: center; }}
.picture img {{ flex: 1; min-height: 0; width: auto; height: auto; max-width: 100%;
    object-fit: contain; }}
.picture a {{ flex: 1; min-height: 0; max-width: 100%; }}
.picture a img {{ height: 100%; }}
pre, code {{ font-family: monospace; font-size: 0.9em; }}
pre {{ padding: 2vmin; background: #f3f5f7; overflow-x: auto; }}
table {{ border-collapse: collapse; align-self: flex-start; }}
th, td {{ border-bottom: 1px solid #bbb; padding: 0.3em 0.8em; text-align: left; }}
thead:not(:has(th:not(:empty))) {{ display: none; }}
.twin {{ color: #00734f; font-family: monospace; font-size: 0.85em; }}
summary {{ cursor: pointer; font-weight: bold; color: #0072b2; margin-top: 2vmin; }}
math {{ font-size: 1.1em; }}
@page {{ size: A4 landscape; margin: 0; }}
@media print {{
    html {{ font-size: 14pt; }}
    section {{ height: 100vh; break-after: page; overflow: hidden; padding: 12mm 18mm; }}
    details::details-content {{ content-visibility: visible; height: auto; display: block; }}
}}
</style>
</head>
<body>
{slides}
<script>
const slides = [...document.querySelectorAll("section")];
const turn = {{ ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1,
    PageUp: -1 }};
addEventListener("keydown", event => {{
    if (!(event.key in turn)) return;
    event.preventDefault();
    const here = Math.round(scrollY / innerHeight);
    slides[Math.min(Math.max(here + turn[event.key], 0), slides.length - 1)].scrollIntoView();
}});
</script>
</body>
</html>
"""

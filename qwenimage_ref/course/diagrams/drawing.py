"""Vector drawings of networks: boxes, wires with shapes on them, and the sizes of the letters.

A unit is a pixel. Every drawing is as wide as a phone's column, so that a desk and a phone show its
letters in one size. In a dark page the colours change with the page's `color-scheme`.
"""

from dataclasses import dataclass
from html import escape

from ..show import PALETTE

WIDTH = 384  # pixels, of every drawing
NAME, SMALL = 13, 11  # sizes of letters, in pixels: names of boxes, and everything else
LINE = 15  # distance from one line of letters to the next
HEAD = 7  # length of an arrow's head
ROLES = ("text", "image", "joint", "noise", "accent")
STYLE = f"""
text {{ font: {SMALL}px Helvetica, Arial, sans-serif; fill: #222; }}
.name {{ font-size: {NAME}px; font-weight: bold; }}
.paper {{ fill: #fff; }} .wire {{ fill: none; stroke: #222; stroke-width: 1.4; }}
.head {{ fill: #222; }} .frame {{ fill: none; stroke: #777; stroke-dasharray: 5 4; }}
@media (prefers-color-scheme: dark) {{
text, .head {{ fill: #eee; }} .paper {{ fill: #14181e; }} .wire {{ stroke: #eee; }}
.frame {{ stroke: #aaa; }}
}}
""" + "\n".join(
    f".{role} {{ fill: {PALETTE[role]}; fill-opacity: 0.22; stroke: {PALETTE[role]}; }}"
    for role in ROLES
)


@dataclass(frozen=True)
class Label:
    """Words at a baseline: x is their start, middle or end. room: pixels that they may take."""

    words: str
    x: float
    y: float
    size: int
    anchor: str
    room: float


@dataclass(frozen=True)
class Box:
    """Where a box lies: its middle, its upper edge, and its sides."""

    x: float
    top: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def left(self) -> float:
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        return self.x + self.width / 2

    @property
    def y(self) -> float:
        return self.top + self.height / 2


class Drawing:
    """Collects boxes, wires and words; `svg` gives the file."""

    def __init__(self, title: str):
        self.title = title
        self.height = 0.0
        self.parts: list[str] = []
        self.labels: list[Label] = []
        self.boxes: list[Box] = []
        self.wires: list[list[tuple[float, float]]] = []
        self.sizes: dict[str, tuple] = {}  # columns of the legend's letters: official, pocket

    def box(self, x, top, width, lines: str, role: str = "joint") -> Box:
        """A box around its lines; the first line is its name."""
        rows = lines.split("\n")
        box = Box(x, top, width, LINE * len(rows) + 13)
        self._rectangle(box, "paper")
        self._rectangle(box, role)
        self.boxes.append(box)
        for n, row in enumerate(rows):
            self.write(x, top + 19 + LINE * n, row, name=n == 0, room=width - 6)
        return box

    def bar(self, left, top, width, height, words: str, role: str) -> None:
        """A plain rectangle of a colour, with words in its middle."""
        self._rectangle(Box(left + width / 2, top, width, height), "paper")
        self._rectangle(Box(left + width / 2, top, width, height), role)
        self.write(left + width / 2, top + height / 2 + 4, words, room=width)

    def join(self, x, y, sign: str) -> Box:
        """A circle in which two wires become one: "+", "×"."""
        box = Box(x, y - 10, 20, 20)
        self.boxes.append(box)
        self.parts.append(f'<circle class="paper" cx="{x:g}" cy="{y:g}" r="10"/>')
        self.parts.append(f'<circle class="wire" cx="{x:g}" cy="{y:g}" r="10"/>')
        self.write(x, y + 5, sign, name=True)
        return box

    def wire(self, *points, label: str = "", at=None, anchor: str = "start", arrow=True) -> None:
        """A line through points (x, y); its label stands right of its middle, or at `at`."""
        self.wires.append([*points])
        ends = [*points]
        (x0, y0), (x1, y1) = ends[-2:]
        if arrow:  # the line ends where the head begins, or its square end would stick out
            length = max(abs(x1 - x0), abs(y1 - y0), 1e-9)
            dx, dy = (x1 - x0) / length, (y1 - y0) / length
            ends[-1] = (x1 - HEAD * dx, y1 - HEAD * dy)
            corners = ((x1, y1), *((ends[-1][0] + s * dy, ends[-1][1] + s * dx) for s in (-4, 4)))
            self.parts.append(f'<polygon class="head" points="{_places(corners)}"/>')
        self.parts.append(f'<polyline class="wire" points="{_places(ends)}"/>')
        self.height = max(self.height, *(y for _, y in points))
        if label:
            (x0, y0), (x1, y1) = points[:2]
            self.write(*(at or ((x0 + x1) / 2 + 6, (y0 + y1) / 2 + 3)), label, anchor=anchor)

    def write(self, x, y, words: str, name=False, anchor="middle", room: float = WIDTH) -> None:
        """Words at a baseline; see Label."""
        kind = ' class="name"' if name else ""
        self.labels.append(Label(words, x, y, NAME if name else SMALL, anchor, room))
        self.parts.append(
            f'<text{kind} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'
        )
        self.height = max(self.height, y + 4)

    def frame(self, left, top, right, bottom, words: str = "") -> None:
        """A dashed frame around what is repeated, `words` in its upper right corner."""
        self._rectangle(Box((left + right) / 2, top, right - left, bottom - top), "frame")
        self.write(right - 6, top + 14, words, name=True, anchor="end")

    def column(self, x, top, width, steps, gap: float = 30) -> list[Box]:
        """Boxes under one another, each a (lines, role, shape on the wire to the next)."""
        boxes = []
        for n, (lines, role, shape) in enumerate(steps):
            boxes.append(self.box(x, top, width, lines, role))
            top = boxes[-1].bottom + gap
            if n < len(steps) - 1:
                self.wire((x, boxes[-1].bottom), (x, top), label=shape)
        return boxes

    def legend(self, rows, top: float | None = None) -> None:
        """What the letters stand for. rows: (letter, words, official size, pocket size)"""
        y = (self.height if top is None else top) + 26
        for x, words in ((300, "official"), (370, "pocket")):
            self.write(x, y, words, anchor="end", room=66)
        for letter, words, official, pocket in rows:
            self.sizes[letter] = official, pocket
            y += LINE + 2
            self.write(14, y, letter, name=True, anchor="start")
            self.write(58, y, words, anchor="start", room=180)
            self.write(300, y, _number(official), anchor="end", room=66)
            self.write(370, y, _number(pocket), anchor="end", room=66)

    def svg(self) -> str:
        height = round(self.height) + 12
        return "\n".join([
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img">',
            f"<title>{escape(self.title)}</title>",
            f"<style>{STYLE}\n</style>",
            f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>',
            *self.parts,
            "</svg>\n",
        ])  # fmt: skip

    def _rectangle(self, box: Box, role: str) -> None:
        self.parts.append(
            f'<rect class="{role}" x="{box.left:g}" y="{box.top:g}" width="{box.width:g}" '
            f'height="{box.height:g}" rx="6"/>'
        )
        self.height = max(self.height, box.bottom)


def _places(points) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _number(size) -> str:
    return f"{size:,}" if isinstance(size, int) else str(size)

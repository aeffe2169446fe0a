"""The course in six and in twelve weeks, computed from the notebooks: nothing to keep up to date.

python -m qwenimage_ref.course.publish.syllabus     prints both plans in Markdown

Reading time comes from the words and the lines of code, exercises from their own minutes, and
running time from tests/durations.json, which `make durations` records.
"""

import functools
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from ...repository import ROOT, in_a_clone
from . import build, editions

DURATIONS = ROOT / "tests" / "durations.json"
# slower than a novel is read; summed over the course these agree with what the headers promise
WORDS_A_MINUTE, LINES_A_MINUTE = 120, 15
WORD = re.compile(r"[\w'’-]+")
CAPSTONE = re.compile(r"^Capstone: (.+?)(?:\n\n|\Z)", re.M | re.S)
SPINE, RIBS = range(20), range(40)  # chapters by number; the rest are appendices, to look things up
PLANS = {  # weeks: chapters, who it is for
    6: (SPINE, "the spine alone, for a half-semester course or a reading group"),
    12: (RIBS, "spine and ribs, for a semester with the capstone as its project"),
}


@dataclass(frozen=True)
class Chapter:
    """What a chapter asks of a learner, and what it says about itself."""

    path: Path
    title: str
    gives: str
    capstone: str
    words: int
    lines: int
    seconds: float | None  # None: not measured yet
    exercises: tuple[editions.Exercise, ...]

    @property
    def number(self) -> int:
        return int(self.path.stem[:2])

    @property
    def reading(self) -> int:
        return round(self.words / WORDS_A_MINUTE + self.lines / LINES_A_MINUTE)

    @property
    def solving(self) -> int:
        return sum(exercise.minutes for exercise in self.exercises)

    @property
    def points(self) -> int:
        return sum(exercise.points for exercise in self.exercises)

    @property
    def minutes(self) -> int:
        return self.reading + self.solving


def header(text: str) -> dict[str, str]:
    """The table at the top of a chapter, row by row: {"You need": ..., "Minutes": ...}"""
    return dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+?) \|$", text, re.M))


def read(source: Path) -> Chapter:
    """One notebook source as a Chapter. Raises EditionError as the editions do."""
    notebook = build.from_source(source)
    _, exercises = editions.edition("teacher", source, editions.EDITIONS / "teacher")
    prose = "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    code = "\n".join(c.source for c in notebook.cells if c.cell_type == "code")
    first = notebook.cells[0].source
    capstone = CAPSTONE.search(prose)
    return Chapter(
        path=source,
        title=first.splitlines()[0].removeprefix("# "),
        gives=header(first)["You get"],
        capstone=" ".join(capstone[1].split()) if capstone else "",
        words=len(WORD.findall(prose)),
        lines=sum(bool(line.strip()) for line in code.splitlines()),
        seconds=_durations().get(f"notebooks/{source.stem}.ipynb"),
        exercises=tuple(exercises),
    )


@functools.cache
def _durations() -> dict[str, float]:
    return json.loads(DURATIONS.read_text(encoding="utf-8"))


def weeks(chapters: list[Chapter], count: int) -> list[list[Chapter]]:
    """Cut the chapters, in their order, into `count` weeks, as even in minutes as possible.

    Every week has at least one chapter. Raises ValueError with fewer chapters than weeks.
    """
    if len(chapters) < count:
        raise ValueError(f"weeks must be at most {len(chapters)}, the chapters, got {count}")

    def load(start: int, end: int) -> int:
        return sum(chapter.minutes for chapter in chapters[start:end]) ** 2

    @functools.cache
    def best(start: int, left: int) -> tuple[int, tuple[int, ...]]:
        """The least sum of squared weeks from chapter `start` on, and where each week ends."""
        if left == 1:
            return load(start, len(chapters)), (len(chapters),)
        options = []
        for end in range(start + 1, len(chapters) - left + 2):
            rest, ends = best(end, left - 1)
            options.append((load(start, end) + rest, (end, *ends)))
        return min(options)

    ends = best(0, count)[1]
    return [chapters[start:end] for start, end in zip((0, *ends), ends)]


# ---- the page

PAGE = """# Syllabus

Both plans are computed from the notebooks. Reading counts {words} words and {lines} lines of code a
minute, exercises count the minutes printed above each, and running is the measured time of all
cells on two processor cores. The weeks are cut to be as even as possible.
A discussion of the three "Estimate first" questions of each chapter fills a seminar of 45 minutes.
"""


def page(chapters: list[Chapter], link: str) -> str:
    """Both plans in Markdown. link: how to reach a chapter, "../notebooks/{}.ipynb" for one."""
    parts = [PAGE.format(words=WORDS_A_MINUTE, lines=LINES_A_MINUTE)]
    for count, (numbers, audience) in PLANS.items():
        chosen = [chapter for chapter in chapters if chapter.number in numbers]
        parts.append(f"## {count} weeks\n\nFor {audience}.\n")
        parts.append(_plan(weeks(chosen, count), link))
    appendices = [chapter for chapter in chapters if chapter.number not in RIBS]
    names = ", ".join(f"[{one.title}]({link.format(one.path.stem)})" for one in appendices)
    parts.append(f"## Appendices\n\nTo look things up, in no week: {names}.\n")
    return "\n".join(parts)


def _plan(plan: list[list[Chapter]], link: str) -> str:
    rows = [
        "| week | chapters | reading, min | exercises, min | running, min | points |",
        "|---|---|---|---|---|---|",
    ]
    for number, chapters in enumerate(plan, 1):
        titles = "<br>".join(f"[{c.title}]({link.format(c.path.stem)})" for c in chapters)
        rows.append(f"| {number} | {titles} | {_sums(chapters)} |")
    everything = [chapter for chapters in plan for chapter in chapters]
    rows.append(f"| all | {len(everything)} chapters | {_sums(everything)} |\n")
    for number, chapters in enumerate(plan, 1):
        rows.append(f"**Week {number}.**\n")
        for one in chapters:
            capstone = f" *Capstone:* {one.capstone}" if one.capstone else ""
            rows.append(f"* *{one.title}*: {one.gives}.{capstone}")
        rows.append("")
    return "\n".join(rows)


def _sums(chapters: list[Chapter]) -> str:
    """Reading, exercises, running and points as the last four cells of a row."""
    seconds = [one.seconds for one in chapters]
    running = "not measured" if None in seconds else f"{sum(seconds) / 60:.1f}"
    reading, solving = sum(c.reading for c in chapters), sum(c.solving for c in chapters)
    return f"{reading} | {solving} | {running} | {sum(c.points for c in chapters)}"


@in_a_clone
def main() -> int:
    print(page([*map(read, build.sources())], "notebooks/{}.ipynb"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

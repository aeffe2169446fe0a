"""The syllabus: every chapter once, in order, in even weeks, with sums that can be done by hand."""

import functools
import itertools
import re
from dataclasses import replace

import pytest

from qwenimage_ref.course.publish import build, syllabus


@functools.cache
def chapters() -> list[syllabus.Chapter]:
    """All of the course; read only when a test asks, for each process collects every file"""
    return [*map(syllabus.read, build.sources())]


def weights(*minutes: int) -> list[syllabus.Chapter]:
    """Chapters without exercises that take these minutes to read."""
    return [replace(chapters()[0], words=120 * m, lines=0, exercises=()) for m in minutes]


@pytest.mark.parametrize("count", syllabus.PLANS)
def test_a_plan_has_its_chapters_once_and_in_order(count):
    numbers = [c.number for c in chapters() if c.number in syllabus.PLANS[count][0]]
    plan = syllabus.weeks([c for c in chapters() if c.number in numbers], count)
    assert len(plan) == count and all(plan)
    assert [chapter.number for week in plan for chapter in week] == numbers


def test_no_other_cut_is_more_even():
    minutes = (30, 10, 20, 50, 5, 45, 30)
    plan = syllabus.weeks(weights(*minutes), 3)
    sums = [sum(chapter.minutes for chapter in week) for week in plan]
    cuts = itertools.combinations(range(1, 7), 2)
    others = [[sum(minutes[:a]), sum(minutes[a:b]), sum(minutes[b:])] for a, b in cuts]
    assert sum(s * s for s in sums) == min(sum(s * s for s in other) for other in others)


def test_more_weeks_than_chapters_are_refused():
    with pytest.raises(ValueError, match="weeks must be at most 2, the chapters, got 3"):
        syllabus.weeks(weights(1, 1), 3)


def test_minutes_are_words_and_lines_by_their_rates_and_the_exercises_own():
    (chapter,) = (c for c in chapters() if c.number == 0)
    notebook = build.from_source(chapter.path)
    words = sum(
        len(re.findall(r"[\w'’-]+", cell.source))
        for cell in notebook.cells
        if cell.cell_type == "markdown"
    )
    assert chapter.words == words and 1000 < words <= 2500
    assert chapter.reading == round(words / 120 + chapter.lines / 15)
    assert (chapter.solving, chapter.points) == (3, 1)


def test_the_rates_agree_with_what_the_chapters_promise():
    texts = [build.from_source(chapter.path).cells[0].source for chapter in chapters()]
    promised = sum(int(re.match(r"\d+", syllabus.header(text)["Minutes"])[0]) for text in texts)
    assert 0.8 < sum(chapter.reading for chapter in chapters()) / promised < 1.25


def test_the_page_sums_what_it_lists():
    page = syllabus.page(chapters(), "../notebooks/{}.ipynb")
    for heading in ("## 6 weeks", "## 12 weeks"):
        table = page[page.index(heading) :].split("\n\n")[2]
        rows = [[cell.strip() for cell in row.split("|")[3:7]] for row in table.splitlines()[2:]]
        for column in (0, 1, 3):
            numbers = [int(row[column]) for row in rows]
            assert sum(numbers[:-1]) == numbers[-1] > 0


def test_a_chapter_whose_time_was_never_measured_says_so():
    assert "not measured" in syllabus._sums([replace(chapters()[0], seconds=None)])


def test_every_chapter_is_on_the_page_by_name():
    page = syllabus.page(chapters(), "{}")
    assert [c.title for c in chapters() if f"[{c.title}]({c.path.stem})" not in page] == []

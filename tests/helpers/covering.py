"""Which tests run a line, so that the quickest of them tries a changed line first.

Two pytest plugins: `Recorder` watches a run of the unchanged source, `Order` sorts a later run.
"""

import sys
import threading
import time
from collections import Counter, defaultdict
from typing import NamedTuple

import pytest

from .order import file_of

CALLS = 20  # of a function that are watched in one test: later ones seldom run other lines


class Watched(NamedTuple):
    """What a recorded run took, and what it ran."""

    seconds: dict[str, float]  # of processor time, of each test
    lines: dict[str, dict[str, list[int]]]  # the lines of each source file, by test

    def running(self, file: str, lines: range) -> set[str]:
        """The tests that run one of the lines."""
        every = self.lines.items()
        return {test for test, seen in every if not set(lines).isdisjoint(seen.get(file, ()))}


class Recorder:
    """Notes the lines of `files` that each test runs, and its seconds.

    What is set up for a test may serve all tests of its file, so its lines count for all of them.
    """

    def __init__(self, files: list[str]):
        self.files = set(files)
        self.seconds = defaultdict(float)
        self.seen = defaultdict(set)  # (source file, line) by test
        self.shared = defaultdict(set)  # by test file
        self.tests = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        self.tests.append(item.nodeid)
        return (yield from self._watch(item.nodeid, self.shared[file_of(item.nodeid)]))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        return (yield from self._watch(item.nodeid, self.seen[item.nodeid]))

    def _watch(self, test: str, lines: set):
        start, calls = time.process_time(), Counter()

        def line(frame, event, argument):
            lines.add((frame.f_code.co_filename, frame.f_lineno))
            return line

        def call(frame, event, argument):
            code = frame.f_code
            if code.co_filename not in self.files or calls[code] == CALLS:
                return None
            calls[code] += 1
            return line(frame, event, argument)

        before = sys.gettrace()
        sys.settrace(call)
        threading.settrace(call)
        try:
            return (yield)
        finally:
            sys.settrace(before)
            threading.settrace(before)
            self.seconds[test] += time.process_time() - start

    def watched(self) -> Watched:
        lines = {}
        for test in self.tests:
            by_file = defaultdict(list)
            for file, number in sorted(self.seen[test] | self.shared[file_of(test)]):
                by_file[file].append(number)
            lines[test] = dict(by_file)
        return Watched(dict(self.seconds), lines)


class Order:
    """First the tests that run a changed line, then all others; quick files and tests first."""

    def __init__(self, watched: Watched, first: set[str]):
        self.watched, self.first = watched, first

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        seconds = defaultdict(float)  # of a file's tests, apart those that come first
        for item in items:
            seconds[self._group(item)] += self._seconds(item)

        def place(item):
            running, file = self._group(item)
            return not running, seconds[running, file], file, self._seconds(item)

        items.sort(key=place)

    def _group(self, item) -> tuple[bool, str]:
        return item.nodeid in self.first, file_of(item.nodeid)

    def _seconds(self, item) -> float:
        return self.watched.seconds.get(item.nodeid, 0)

"""Long files first: the last minutes of a run then keep every worker busy.

`durations.json` holds the seconds of each file in a quiet run; `make durations` records it again.
Files that are not listed come last, in the order in which pytest found them.
"""

import json
from collections import defaultdict
from pathlib import Path

RECORD = Path(__file__).parents[1] / "durations.json"


def file_of(nodeid: str) -> str:
    """tests/model/test_vae.py::test_x[1] -> tests/model/test_vae.py, the unit of a worker's work"""
    return nodeid.split("::")[0]


def long_files_first(items: list) -> None:
    """Sort in place; the tests of one file stay together and in their order."""
    seconds = json.loads(RECORD.read_text())
    items.sort(key=lambda item: -seconds.get(file_of(item.nodeid), 0))


class Recorder:
    """Writes durations.json at the end of a run; files that were not run keep their number."""

    def __init__(self):
        self.seconds = defaultdict(float)

    def pytest_runtest_logreport(self, report):
        self.seconds[file_of(report.nodeid)] += report.duration

    def pytest_sessionfinish(self):
        known = json.loads(RECORD.read_text()) if RECORD.exists() else {}
        known |= {file: round(seconds, 1) for file, seconds in self.seconds.items()}
        listed = {file: s for file, s in known.items() if s >= 1 and Path(file).exists()}
        text = json.dumps(dict(sorted(listed.items(), key=lambda entry: -entry[1])), indent=1)
        RECORD.write_text(text + "\n")

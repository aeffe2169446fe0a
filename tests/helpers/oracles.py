"""A table of comparisons with other people's code, read off the tests that make them.

    PYTHONPATH=.:tests python -m helpers.oracles     or: make oracles

runs the tests of oracle_rows.py and writes data/measurements/parity_variants.json and
site/pages/parity.md. While they run, every tolerance is a number that notes what is compared with
it: a distance in the table is the largest one that the assertions of its test saw.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from safetensors import safe_open

from qwenimage_ref.files import whole_file
from qwenimage_ref.parity.tolerances import TOLERANCES
from qwenimage_ref.provenance import provenance

from .oracle_rows import ROWS

ROOT = Path(__file__).resolve().parents[2]
RECORD = ROOT / "data" / "measurements" / "parity_variants.json"
PAGE = ROOT / "site" / "pages" / "parity.md"
GOLDEN = ROOT / "tests" / "golden"
FIXTURES = {"blockwise": "blockwise.safetensors", "regions": "regions.safetensors"}


# -- what the tests compare -----------------------------------------------------------------------


class Watched(float):
    """A tolerance that notes the largest distance that was compared with it."""

    def __new__(cls, name: str, value: float, largest: dict[str, float]):
        bound = super().__new__(cls, value)
        bound.name, bound.largest = name, largest
        return bound

    # careful: in `distance <= bound` Python calls this first, because this class is a subclass of
    # the distance's; numbers of NumPy and torch have classes of their own and are not noted
    def __ge__(self, distance) -> bool:
        self.largest[self.name] = max(self.largest.get(self.name, 0.0), float(distance))
        return float(self) >= distance


class Recorder:
    """A plugin of pytest: `compared` is each passed test's {tolerance: largest distance}.

    The table of tolerances is watched as soon as there is a recorder, for the rest of the process.
    """

    def __init__(self):
        self.compared: dict[str, dict[str, float]] = defaultdict(dict)
        self.largest: dict[str, float] = {}
        for name, entry in TOLERANCES.items():
            TOLERANCES[name] = entry._replace(value=Watched(name, entry.value, self.largest))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        self.largest.clear()
        result = yield
        self.compared[item.nodeid] |= self.largest
        return result


# -- the record and the page ----------------------------------------------------------------------


def function_of(nodeid: str) -> str:
    """tests/a/test_b.py::test_c[d] -> tests/a/test_b.py::test_c"""
    return nodeid.partition("[")[0]


def rows_of(compared: dict[str, dict[str, float]]) -> list[dict]:
    """{test with its case: {tolerance: distance}} -> the rows of the record

    Raises ValueError if a case of a listed test compared nothing with a tolerance.
    """
    table = []
    for row in ROWS:
        cases = [each for nodeid, each in compared.items() if function_of(nodeid) == row.test]
        if not cases or not all(cases):
            raise ValueError(f"{row.test} must compare a number with a tolerance, got none; do so")
        largest = {
            name: {
                "distance": float(f"{max(case.get(name, 0.0) for case in cases):.2g}"),
                "tolerance": float(TOLERANCES[name].value),
            }
            for name in sorted({name for case in cases for name in case})
        }
        table.append(row._asdict() | {"compared": largest})
    return table


def oracle_of(row: dict, versions: dict[str, str]) -> str:
    """The oracle of a row with the versions of the programs that it names"""
    names = {name: f"{name} {versions[name]}" for name in ("diffusers", "transformers")}
    for name, file in FIXTURES.items():
        with safe_open(GOLDEN / file, "pt") as opened:
            names[name] = opened.metadata()["source"].replace("diffsynth", "DiffSynth-Studio")
    return row["oracle"].format(**names)


def page_of(record: dict) -> str:
    """The record as a page of the site, Markdown"""
    lines = [
        "# Parity of control, regions and layers",
        "",
        "What the package computes beside the code of others, on small random weights or on the",
        "pocket model, in float32 on a CPU. Each distance is the largest of those that the test's",
        "own assertions compare with a tolerance. It is relative to the largest value of the",
        "reference; that of pictures is absolute, white being 1, of any pixel and in the mean, and",
        "that of texts a count. The reason of every tolerance is in",
        "`qwenimage_ref/parity/tolerances.py`. DiffSynth-Studio is not installed for the tests:",
        "its numbers are stored in `tests/golden`, and `tests/helpers/blockwise_case.py` and",
        "`regions_case.py` write them again. The transformer, both towers and the VAE at official",
        "width are in `data/measurements/parity.json`.",
        "",
        "`make oracles` runs these tests and writes this page and",
        "`data/measurements/parity_variants.json`.",
    ]
    part = None
    for row in record["rows"]:
        if row["part"] != part:
            part = row["part"]
            lines += [
                "",
                f"## {part}",
                "",
                "| what | beside | distance, tolerance and its name | test |",
            ]
            lines.append("|---|---|---|---|")
        numbers = "<br>".join(
            f"{each['distance']:.2g}, at most {each['tolerance']:.2g} ({name})"
            for name, each in row["compared"].items()
        )
        cells = (row["what"], oracle_of(row, record["versions"]), numbers, f"`{row['test']}`")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(record: dict) -> None:
    """Write the record and its page, each whole or not at all."""
    texts = {RECORD: json.dumps(record, indent=2) + "\n", PAGE: page_of(record)}
    for file, text in texts.items():
        with whole_file(file) as partial:
            partial.write_text(text, encoding="utf-8")


def main() -> int:
    recorder = Recorder()
    status = pytest.main(["-q", *dict.fromkeys(row.test for row in ROWS)], [recorder])
    if status:
        print("all tests of the table must pass; nothing was written", file=sys.stderr)
        return 1
    write({"rows": rows_of(recorder.compared)} | provenance("diffusers", "transformers"))
    print(f"{RECORD.relative_to(ROOT)}, {PAGE.relative_to(ROOT)}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())

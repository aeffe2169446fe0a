"""How good are the filters of the data pipeline? Precision and recall on posters with defects.

python -m qwenimage_ref.evaluate.filtering     20,000 posters; half an hour of one core

Recall: of the posters with a defect, the share that its filter finds. Precision: of all that a
filter finds among posters that are whole or have its own defect, the share that has it. What it
finds among posters with other defects is counted beside: a rotated star may well be blurred, too.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from ..curation.filters import POSTERS, failing, numbers_of
from ..curation.together import Duplicates
from ..posters.reward import reward
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from .defects import DEFECTS, planted
from .intervals import interval

RECORD = MEASUREMENTS / "filters.json"
SEED = 50_000_000  # posters from here on are filtered, and are in no training


def agreement(picture, caption: str) -> float:
    """The exact reader's share of what a caption says; ValueError for a caption of no poster"""
    return reward([picture], caption)[0]


def found_by(content: bytes, caption: str, key: str, duplicates: Duplicates) -> list[str]:
    """Every filter that a poster does not pass, that of the duplicates included"""
    numbers = numbers_of(content, caption, agreement)
    names = failing(numbers, POSTERS)
    if not numbers["broken"]:
        thumbnail = bytes.fromhex(numbers["thumbnail"])
        if duplicates.earlier(key, numbers["hash"], thumbnail) is not None:
            names.append("duplicate")
    return names


def measure(count: int, first: int = SEED, quiet: bool = False) -> dict:
    """-> {"filters": {name: {"recall", "precision", "elsewhere"}}, "posters", "whole", ...}"""
    defects, counts, start = Counter(), Counter(), time.process_time()
    duplicates, whole_and_removed = Duplicates(), 0
    for seed in tqdm(range(first, first + count), unit="poster", disable=quiet):
        content, caption, defect = planted(seed)
        names = found_by(content, caption, str(seed), duplicates)
        defects[defect] += 1
        whole_and_removed += defect is None and bool(names)
        for name in names:
            counts[name, "own" if name == defect else "whole" if defect is None else "other"] += 1
    seconds = time.process_time() - start
    return {
        "posters": count,
        "whole": interval(defects[None] - whole_and_removed, defects[None]),
        "milliseconds": round(1000 * seconds / count, 2),
        "filters": {name: _row(name, defects[name], counts) for name in DEFECTS},
    }


def _row(name: str, planted_count: int, counts: Counter) -> dict:
    own, wrong = counts[name, "own"], counts[name, "whole"]
    return {
        "recall": interval(own, planted_count),
        "precision": interval(own, own + wrong),
        "elsewhere": counts[name, "other"],
    }


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m qwenimage_ref.evaluate.filtering")
    parser.add_argument("--posters", type=int, default=20_000, help="default 20,000")
    parser.add_argument("--to", type=Path, default=RECORD, metavar="FILE", help="JSON file")
    options = parser.parse_args(arguments)
    result = measure(options.posters)
    write_record(result, options.to)
    for name, row in result["filters"].items():
        parts = (f"{k} {row[k]['right']:5} of {row[k]['of']:5}" for k in ("recall", "precision"))
        print(f"{name:18} {'   '.join(parts)}   elsewhere {row['elsewhere']:5}")
    print(f"whole posters kept: {result['whole']['right']} of {result['whole']['of']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

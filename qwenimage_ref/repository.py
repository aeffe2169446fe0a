"""Paths of the repository's own files, in a checkout and in an installed wheel.

A wheel carries the pocket weights inside the package and nothing else of `data`.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
CHECKOUT = (ROOT / "data" / "pocket").is_dir()  # whether this is a checkout, not a wheel
DATA = (ROOT if CHECKOUT else PACKAGE) / "data"
POCKET = DATA / "pocket"
MEASUREMENTS = DATA / "measurements"
CLONE_HINT = "it needs files that only the repository has; run it in a clone"


def in_a_clone(main: Callable) -> Callable:
    """Decorate the `main` of a module that needs the repository's files.

    Without a checkout the decorated function exits with one line and status 2.
    """

    @functools.wraps(main)
    def guarded(*arguments, **options):
        if not CHECKOUT:
            # careful: `__module__` is "__main__" under python -m
            name = Path(main.__code__.co_filename).name
            print(f"{name}: {CLONE_HINT}", file=sys.stderr)
            raise SystemExit(2)
        return main(*arguments, **options)

    return guarded

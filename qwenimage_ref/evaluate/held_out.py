"""Captions of the second edition's world that no training poster shows, in any size.

python -m qwenimage_ref.evaluate.held_out     after new lessons: data/pocket/held_out.json

The search for a scene tries one after another. Which try is the first that was never trained can
only be told by going through all 260,000 training scenes, which takes half a minute; the file keeps
these numbers, and those of other lessons than its own are found by the search.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import random
import sys
from collections.abc import Iterator

from ..files import whole_file
from ..pocket.curriculum import CONTROL, PHASES, trained_scenes
from ..posters.captions import caption
from ..posters.scene import BACKGROUNDS, SIZES, SQUARE, Mixture, Scene, sample
from ..repository import POCKET, in_a_clone
from .score import Trial

FILE = POCKET / "held_out.json"
LANGUAGES = ("en", "en", "zh")  # a third Chinese, as in training
STORED = 2000  # trials whose numbers are kept, of all sizes and of square ones


def held_out(sizes: tuple[tuple[int, int], ...] = SIZES) -> Iterator[Trial]:
    """Captions of scenes that no training poster shows in any size.

    Scenes without a word are few and nearly all trained, so that 17 of 20 have one. Sizes take
    turns. The characters of a Chinese word are of one level, and levels take turns, so that
    frequency can be told from everything else.
    """
    stored = _stored(sizes)
    for i, size in enumerate(itertools.cycle(sizes)):
        j = stored[i] if i < len(stored) else first_untrained(i, size)
        scene = _try(i, j, size)
        language = random.Random(f"trial {i}").choice(LANGUAGES)
        yield Trial(scene, language, caption(scene, language, edition=2), i)


def trials(count: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> list[Trial]:
    """The first of them."""
    return list(itertools.islice(held_out(sizes), count))


def square_trials(count: int) -> list[Trial]:
    """The first on square posters, for surveys that compare pictures of one size."""
    return trials(count, (SQUARE,))


def first_untrained(i: int, size: tuple[int, int]) -> int:
    """The number of the first try of trial `i` whose scene no training poster shows"""
    trained = trained_scenes((*PHASES.values(), *CONTROL.values()))
    tries = ((j, _try(i, j, size)) for j in itertools.count())
    return next(j for j, s in tries if dataclasses.replace(s, size=SQUARE) not in trained)


def _try(i: int, j: int, size: tuple[int, int]) -> Scene:
    level = tuple(float(k == i % 3) for k in range(3))
    mixture = Mixture(words=2 / 3, backgrounds=tuple(BACKGROUNDS), levels=level)
    return sample(f"trial {i} {j}", mixture, None, size)


# --- the file


def _lessons() -> str:
    """What the stored numbers depend on."""
    lessons = repr((*PHASES.values(), *CONTROL.values()))
    return hashlib.sha256(lessons.encode()).hexdigest()[:12]


def _stored(sizes: tuple[tuple[int, int], ...]) -> list[int]:
    """The stored numbers of the tries, none if they are of other lessons"""
    content, name = _content(), {SIZES: "all", (SQUARE,): "square"}.get(sizes)
    return content["tries"].get(name, []) if content.get("lessons") == _lessons() else []


@functools.cache
def _content() -> dict:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}


@in_a_clone
def main() -> int:
    tries = {
        name: [first_untrained(i, sizes[i % len(sizes)]) for i in range(STORED)]
        for name, sizes in {"all": SIZES, "square": (SQUARE,)}.items()
    }
    with whole_file(FILE) as partial:
        partial.write_text(json.dumps({"lessons": _lessons(), "tries": tries}) + "\n")
    print(f"{FILE}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())

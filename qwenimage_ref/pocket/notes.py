"""What a prompt or a size asks of a pocket model that its training never had.

For the command line. `QwenImage` itself is silent, as pipelines of other libraries are: their
callers look at pictures in bulk, and the model's files do not depend on one set of weights.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from ..posters.grammar import in_grammar, never_met
from ..posters.rewriting import rewrite
from ..posters.scene import SIZES, SQUARE

RECORD = "training.json"  # pocket/assemble.py writes it beside the weights of a pocket model
HINT = "--rewrite brings a prompt into its words"


@dataclass(frozen=True)
class Training:
    """What a pocket model's record says of its training posters."""

    edition: int
    sizes: frozenset[tuple[int, int]]  # width and height in pixels, of the last lesson
    early: frozenset[tuple[int, int]] = frozenset()  # sizes of lessons before it, mostly forgotten


def training_of(folder: str | Path) -> Training | None:
    """Folder of weights -> the training of a pocket model, None for all other weights

    A pocket model is known by its record, which lists lessons; a record that cannot be read is
    none. Lessons of the second edition have a mixture, which names the sizes of their posters;
    the number of its first poster says which lesson is the last.
    """
    try:
        record = json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))
        lessons = record["lessons"].values()
        mixed = sorted((each for each in lessons if "mixture" in each), key=lambda x: x["first"])
        sizes = [frozenset(map(tuple, each["mixture"]["sizes"])) for each in mixed]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    if not sizes:
        return Training(1, frozenset({SQUARE}))
    return Training(2, sizes[-1], frozenset().union(*sizes) - sizes[-1])


def note_of_prompt(prompt: str, edition: int) -> str:
    """One line on a prompt that is no caption of the edition's grammar, "" for one that is"""
    if in_grammar(prompt, edition):
        return ""
    unmet = never_met(prompt, edition)
    line = f"the pocket model has never met {', '.join(unmet)}"
    if not unmet:
        line = "the pocket model has met these words, but in no such sentence"
    return line if rewrite(prompt, edition).scene is None else f"{line}; {HINT}"


def note_of_size(size: tuple[int, int], training: Training) -> str:
    """One line on a width and height in pixels that the last lesson did not have, else \"\""""
    if size in training.sizes:
        return ""
    asked = f"{size[0]}x{size[1]}"
    early = size in training.early
    was = f"trained at {asked} only at first" if early else f"never trained at {asked}"
    known = ", ".join(f"{w}x{h}" for w, h in sorted(training.sizes, key=_usual))
    return f"the pocket model was {was}; it knows {known}"


def _usual(size: tuple[int, int]) -> int:
    """The place of a size in the list of the second world, unlisted ones last"""
    return SIZES.index(size) if size in SIZES else len(SIZES)

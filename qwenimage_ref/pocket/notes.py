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
    sizes: frozenset[tuple[int, int]]  # width and height in pixels


def training_of(folder: str | Path) -> Training | None:
    """Folder of weights -> the training of a pocket model, None for all other weights

    A pocket model is known by its record, which lists lessons; a record that cannot be read is
    none. Lessons of the second edition have a mixture, which names the sizes of their posters.
    """
    try:
        record = json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))
        lessons = record["lessons"].values()
        mixtures = [lesson["mixture"] for lesson in lessons if "mixture" in lesson]
        sizes = {tuple(size) for mixture in mixtures for size in mixture["sizes"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return Training(2, frozenset(sizes)) if mixtures else Training(1, frozenset({SQUARE}))


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
    """One line on a width and height in pixels that no training poster had, else \"\""""
    if size in training.sizes:
        return ""
    known = ", ".join(f"{w}x{h}" for w, h in sorted(training.sizes, key=_usual))
    return f"the pocket model was never trained at {size[0]}x{size[1]}; it knows {known}"


def _usual(size: tuple[int, int]) -> int:
    """The place of a size in the list of the second world, unlisted ones last"""
    return SIZES.index(size) if size in SIZES else len(SIZES)

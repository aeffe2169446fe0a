"""Which captions a pocket model is asked: those of the edition whose world it was trained on."""

from pathlib import Path

from ..pocket.notes import training_of
from . import score, second_edition

SUITES = {1: score.FIRST, 2: second_edition.SECOND}
LATEST = max(SUITES)


def edition_of(folder: str | Path) -> int:
    """Folder of weights -> the edition in its record; weights without one: the latest"""
    training = training_of(folder)
    return training.edition if training else LATEST


def suite_of(folder: str | Path, edition: int | None = None) -> score.Suite:
    """The suite of an edition, by default of that in the folder's record."""
    return SUITES[edition or edition_of(folder)]

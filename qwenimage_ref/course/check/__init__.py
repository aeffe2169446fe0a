"""Checkers of the exercises: they name the mistake and keep the answer to themselves."""

from .chapter_00 import START_00, ex_00_word
from .chapter_12 import ex_12_sigma
from .chapter_13 import ex_13_fooled
from .chapter_22 import ex_22_worse
from .common import NotYet

__all__ = [
    "NotYet",
    "START_00",
    "ex_00_word",
    "ex_12_sigma",
    "ex_13_fooled",
    "ex_22_worse",
]

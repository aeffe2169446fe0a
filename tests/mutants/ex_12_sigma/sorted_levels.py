"""Draws as it should, and puts the levels in order."""

from qwenimage_ref.course.answers import EX_12_SIGMA

HINT = "in order of size"


def answer(kind, count, generator):
    return EX_12_SIGMA(kind, count, generator).sort().values

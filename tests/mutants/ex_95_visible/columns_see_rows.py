"""Rows and columns exchanged."""

from qwenimage_ref.course.answers import EX_95_VISIBLE


def answer(layout):
    return EX_95_VISIBLE(layout).T


HINT = "rows and columns are exchanged"

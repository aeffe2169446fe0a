"""True where a token may not see."""

from qwenimage_ref.course.answers import EX_95_VISIBLE


def answer(layout):
    return ~EX_95_VISIBLE(layout)


HINT = "true and false are exchanged"

"""Counts rows upwards, as in a plot."""


def answer(rows, cols):
    return (
        list(range(-(rows - rows // 2), rows // 2))[::-1],
        list(range(-(cols - cols // 2), cols // 2)),
        max(rows // 2, cols // 2),
    )


HINT = "run backwards"

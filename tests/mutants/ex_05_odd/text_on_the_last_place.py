"""Starts on the last place of the picture."""


def answer(rows, cols):
    return (
        list(range(-(rows - rows // 2), rows // 2)),
        list(range(-(cols - cols // 2), cols // 2)),
        max(rows // 2, cols // 2) - 1,
    )


HINT = "has that place"

"""Rounds up."""


def answer(rows, cols):
    return (
        list(range(-(rows - rows // 2), rows // 2)),
        list(range(-(cols - cols // 2), cols // 2)),
        max((rows + 1) // 2, (cols + 1) // 2),
    )


HINT = "leaves a place free"

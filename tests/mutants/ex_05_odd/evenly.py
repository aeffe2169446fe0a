"""Lays an odd side evenly around 0."""


def answer(rows, cols):
    return (
        list(range(-(rows // 2), rows - rows // 2)),
        list(range(-(cols // 2), cols - cols // 2)),
        max(rows // 2, cols // 2),
    )


HINT = "lie evenly"

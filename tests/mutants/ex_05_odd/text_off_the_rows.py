"""Looks at the rows alone."""


def answer(rows, cols):
    return (
        list(range(-(rows - rows // 2), rows // 2)),
        list(range(-(cols - cols // 2), cols // 2)),
        rows // 2,
    )


HINT = "where the rows end"

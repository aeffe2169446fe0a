"""Takes the shorter side."""


def answer(rows, cols):
    return (
        list(range(-(rows - rows // 2), rows // 2)),
        list(range(-(cols - cols // 2), cols // 2)),
        min(rows // 2, cols // 2),
    )


HINT = "end; look at"

"""Centres the picture and starts the text as if it were not centred."""


def answer(rows, cols):
    return (
        list(range(-(rows - rows // 2), rows // 2)),
        list(range(-(cols - cols // 2), cols // 2)),
        max(rows, cols),
    )


HINT = "longer side of the picture ends"

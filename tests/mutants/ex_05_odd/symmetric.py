"""Takes half a step, so that the middle is exactly 0."""


def answer(rows, cols):
    return (
        [place - (rows - 1) / 2 for place in range(rows)],
        [place - (cols - 1) / 2 for place in range(cols)],
        max(rows // 2, cols // 2),
    )


HINT = "are not integers"

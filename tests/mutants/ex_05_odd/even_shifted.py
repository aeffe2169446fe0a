"""Even sides have their extra place at the positive end."""


def answer(rows, cols):
    return (
        [place - (rows - 1) // 2 for place in range(rows)],
        [place - (cols - 1) // 2 for place in range(cols)],
        max(rows // 2, cols // 2),
    )


HINT = "as many lie below 0"

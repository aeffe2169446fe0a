"""Four neighbours in a row."""

HINT = "neighbours in a row"


def answer(mask):
    rows, cols = mask.shape[0] // 2, mask.shape[1] // 2
    return mask.flatten().reshape(rows * cols, 4).any(1)

"""Tokens that lie inside as a whole."""

HINT = "inside as a whole"


def answer(mask):
    rows, cols = mask.shape[0] // 2, mask.shape[1] // 2
    return mask.reshape(rows, 2, cols, 2).all(3).all(1).flatten()

"""Rows half a picture apart."""

HINT = "half a picture apart"


def answer(mask):
    rows, cols = mask.shape[0] // 2, mask.shape[1] // 2
    return mask.reshape(2, rows, 2, cols).any(2).any(0).flatten()

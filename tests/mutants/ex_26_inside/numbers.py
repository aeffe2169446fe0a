"""Zeros and ones."""

HINT = "not numbers"


def answer(mask):
    rows, cols = mask.shape[0] // 2, mask.shape[1] // 2
    return mask.float().reshape(rows, 2, cols, 2).amax((1, 3)).flatten()

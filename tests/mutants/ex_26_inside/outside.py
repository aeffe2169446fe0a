"""What lies outside."""

HINT = "yours is the opposite"


def answer(mask):
    rows, cols = mask.shape[0] // 2, mask.shape[1] // 2
    return ~mask.reshape(rows, 2, cols, 2).any(3).any(1).flatten()

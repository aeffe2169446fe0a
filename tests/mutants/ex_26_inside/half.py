"""From a half on."""

HINT = "from a half on"


def answer(mask):
    rows, cols = mask.shape[0] // 2, mask.shape[1] // 2
    return (mask.float().reshape(rows, 2, cols, 2).mean((1, 3)) >= 0.5).flatten()

"""Takes every picture for a square."""

HINT = "both sides count"


def answer(height, width):
    return 0.5 + ((height // 16) ** 2 - 256) * 0.4 / (8192 - 256)

"""The numbers of another model: 4096 tokens and 1.15."""

HINT = "not on the line through"


def answer(height, width):
    return 0.5 + ((height // 16) * (width // 16) - 256) * (1.15 - 0.5) / (4096 - 256)

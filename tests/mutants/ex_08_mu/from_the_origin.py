"""The formula that circulates: a line that begins at no tokens."""

HINT = "begins at 256 tokens"


def answer(height, width):
    return 0.5 + 0.4 * (height // 16) * (width // 16) / 8192

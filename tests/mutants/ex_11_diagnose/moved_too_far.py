"""Sees that the picture has moved, and does not measure."""

answer = [
    "statistics inverted",
    "padding attended",
    "half-split rotation",
    "shift before scale",
    "text starts at 0",
]
HINT = "by four tokens"

"""Sees that something has moved, and takes the first bug of that kind."""

answer = [
    "statistics inverted",
    "padding attended",
    "half-split rotation",
    "shift before scale",
    "text starts at 0",
]
HINT = "each is there once"

"""Knows that an odd grid moves a picture by one token."""

answer = [
    "statistics inverted",
    "padding attended",
    "half-split rotation",
    "shift before scale",
    "odd grid",
]
HINT = "which grids does that bug need"

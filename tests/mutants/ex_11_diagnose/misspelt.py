"""Writes a name from memory."""

answer = [
    "inverted statistics",
    "padding attended",
    "half-split rotation",
    "shift before scale",
    "cut at 35",
]
HINT = "mind the spelling"

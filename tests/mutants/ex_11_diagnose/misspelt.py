"""Writes a name from memory."""

answer = [
    "inverted statistics",
    "padding attended",
    "half-split rotation",
    "shift before scale",
    "padding counted",
]
HINT = "mind the spelling"

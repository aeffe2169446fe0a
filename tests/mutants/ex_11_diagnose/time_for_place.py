"""Blames the noise levels for an empty picture."""

answer = [
    "statistics inverted",
    "padding attended",
    "time flipped",
    "shift before scale",
    "padding counted",
]
HINT = "nothing knows where it belongs"

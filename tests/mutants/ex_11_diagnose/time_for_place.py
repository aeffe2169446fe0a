"""Blames the noise levels for an empty picture."""

answer = [
    "statistics inverted",
    "padding attended",
    "time flipped",
    "shift before scale",
    "cut at 35",
]
HINT = "nothing knows where it belongs"

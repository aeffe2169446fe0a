"""Takes wrong colours for dirt and dirt for wrong colours."""

answer = [
    "shift before scale",
    "padding attended",
    "half-split rotation",
    "statistics inverted",
    "padding counted",
]
HINT = "this paper is clean"

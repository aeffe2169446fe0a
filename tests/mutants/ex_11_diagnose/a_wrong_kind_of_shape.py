"""Takes the wrong kind of shapes for an undertrained model at the wrong noise level."""

answer = [
    "statistics inverted",
    "time never × 1000",
    "half-split rotation",
    "shift before scale",
    "padding counted",
]
HINT = "so what was read"

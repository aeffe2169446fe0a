"""Sees cells of 16 pixels and thinks of packing."""

answer = [
    "statistics inverted",
    "padding attended",
    "half-split rotation",
    "packed p-p-c",
    "padding counted",
]
HINT = "that loses the outlines"

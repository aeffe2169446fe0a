"""Takes any wrong colour for the averaged kernel."""

answer = [
    "frame axis averaged",
    "padding attended",
    "half-split rotation",
    "shift before scale",
    "padding counted",
]
HINT = "that makes colours pale"

"""Takes any wrong colour for the averaged kernel."""

answer = [
    "frame axis averaged",
    "padding attended",
    "half-split rotation",
    "shift before scale",
    "cut at 35",
]
HINT = "that makes colours pale"

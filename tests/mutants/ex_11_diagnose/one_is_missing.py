"""Takes the empty picture for no picture."""

answer = ["statistics inverted", "padding attended", "shift before scale", "padding counted"]
HINT = "4 names for five pictures"

"""Takes the empty picture for no picture."""

answer = ["statistics inverted", "padding attended", "shift before scale", "cut at 35"]
HINT = "4 names for five pictures"

"""Repaints the background."""

HINT = "background"
answer = "a red circle left of a blue star on a navy background"

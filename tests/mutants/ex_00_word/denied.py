"""Hopes that a model knows what not means."""

HINT = "'not'"
answer = "a red circle not left of a blue star on a white background"

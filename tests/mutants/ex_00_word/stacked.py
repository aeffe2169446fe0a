"""Puts one shape over the other."""

HINT = "stacks"
answer = "a red circle above a blue star on a white background"

"""Trades the shapes: red is still on the left."""

HINT = "colours to other shapes"
answer = "a red star left of a blue circle on a white background"

"""Trades the colours: the circle is still on the left."""

HINT = "its own colour"
answer = "a blue circle left of a red star on a white background"

"""Gives the prompt back."""

HINT = "no word has changed"
answer = "a red circle left of a blue star on a white background"

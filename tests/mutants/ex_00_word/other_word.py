"""Changes a word that tells no side."""

HINT = "'a'"
answer = "the red circle left of a blue star on a white background"

"""Uses a word that no caption has."""

HINT = "'east'"
answer = "a red circle east of a blue star on a white background"

"""Gets the right picture with four words."""

HINT = "4 words"
answer = "a blue star left of a red circle on a white background"

"""Believes that capitals are rare enough."""

HINT = "one byte, so"

answer = "ZYXWVUTSRQPO"

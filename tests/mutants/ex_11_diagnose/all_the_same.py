"""Plays safe."""

answer = ["statistics inverted"] * 5
HINT = "the same cause twice"

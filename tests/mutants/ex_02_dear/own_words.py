"""Writes a prompt of its own."""

HINT = "none of the prompts"

answer = "a photograph"

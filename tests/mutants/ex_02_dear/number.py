"""Gives the number of a prompt."""

HINT = "a string in quotes"

answer = 7

"""Gives the places in the list of choices."""

answer = [14, 11, 5, 13, 0]
HINT = "a list of five names"

"""Believes that words cost by the letter."""

HINT = "about one token each"

answer = "blue diamond"

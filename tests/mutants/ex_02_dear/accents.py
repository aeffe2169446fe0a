"""Believes that accents are the dearest."""

HINT = "two bytes each"

answer = "éèêëáàâäóòôö"

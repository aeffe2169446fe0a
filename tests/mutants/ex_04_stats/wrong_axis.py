"""Lets the lists line up with the columns, of which there happen to be as many."""

HINT = "vary along the columns"


def answer(z, mean, std):
    return (z - mean) / std

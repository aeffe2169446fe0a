"""Gives x back."""


def answer(x, places, theta):
    return x.clone()


HINT = "nothing is turned"

"""Minus the velocity."""


def answer(x, velocity, sigma):
    return -velocity


HINT = "is no score"

"""Gives the published number whatever the sizes."""

HINT = "none of the usual mistakes"


def answer(D, K):
    return 339_831_296

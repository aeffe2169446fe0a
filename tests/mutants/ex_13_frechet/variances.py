"""Compares variances only."""


def answer(a, b):
    means = (a.mean(0) - b.mean(0)).square().sum()
    return means + (a.std(0) - b.std(0)).square().sum()


HINT = "vary together"

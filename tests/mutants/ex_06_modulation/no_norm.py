"""Forgets the norm."""


def answer(x, shift, scale, gate, part):
    return x + gate * part(x * (1 + scale) + shift)


HINT = "is not normalised"

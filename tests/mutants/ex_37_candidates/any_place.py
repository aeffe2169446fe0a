"""Bands at different places are compared."""


def bands(code):
    return {code >> 16 * n & 0xFFFF for n in range(4)}


def answer(codes):
    places = range(len(codes))
    return {(i, j) for j in places for i in range(j) if bands(codes[i]) & bands(codes[j])}


HINT = "keep their places apart"

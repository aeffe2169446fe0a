"""Bands of a byte."""


def band(code, n, bits=16):
    return code >> bits * n & (1 << bits) - 1


def close(a, b):
    return any(band(a, n, 8) == band(b, n, 8) for n in range(8))


def answer(codes):
    places = range(len(codes))
    return {(i, j) for j in places for i in range(j) if close(codes[i], codes[j])}


HINT = "eight bands of 8 bits"

"""Bands of 32 bits."""


def band(code, n, bits=16):
    return code >> bits * n & (1 << bits) - 1


def close(a, b):
    return any(band(a, n, 32) == band(b, n, 32) for n in range(2))


def answer(codes):
    places = range(len(codes))
    return {(i, j) for j in places for i in range(j) if close(codes[i], codes[j])}


HINT = "two bands of 32 bits"

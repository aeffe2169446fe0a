"""A picture is its own duplicate."""


def band(code, n, bits=16):
    return code >> bits * n & (1 << bits) - 1


def close(a, b):
    return any(band(a, n) == band(b, n) for n in range(4))


def answer(codes):
    places = range(len(codes))
    return {(i, j) for j in places for i in range(j + 1) if close(codes[i], codes[j])}


HINT = "no duplicate of itself"

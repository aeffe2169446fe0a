"""Every pair twice."""


def band(code, n, bits=16):
    return code >> bits * n & (1 << bits) - 1


def close(i, a, j, b):
    return i != j and any(band(a, n) == band(b, n) for n in range(4))


def answer(codes):
    places = range(len(codes))
    return {(i, j) for j in places for i in places if close(i, codes[i], j, codes[j])}


HINT = "the earlier picture comes first"

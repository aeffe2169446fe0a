"""Only the lowest band."""


def band(code, n, bits=16):
    return code >> bits * n & (1 << bits) - 1


def answer(codes):
    places = range(len(codes))
    return {(i, j) for j in places for i in range(j) if band(codes[i], 0) == band(codes[j], 0)}


HINT = "only the lowest band"

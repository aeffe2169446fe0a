"""Equal hashes alone."""


def band(code, n, bits=16):
    return code >> bits * n & (1 << bits) - 1


def answer(codes):
    places = range(len(codes))
    return {(i, j) for j in places for i in range(j) if codes[i] == codes[j]}


HINT = "one is enough"

"""Every pair is compared bit by bit."""


def band(code, n, bits=16):
    return code >> bits * n & (1 << bits) - 1


def answer(codes):
    places = range(len(codes))
    return {(i, j) for j in places for i in range(j) if (codes[i] ^ codes[j]).bit_count() <= 3}


HINT = "compares every pair"

"""The sign is ignored."""


def answer(byte):
    exponent, fraction = byte >> 3 & 15, byte & 7
    if exponent == 15 and fraction == 7:
        return float("nan")
    if exponent == 0:
        return 2**-6 * fraction / 8
    return 2.0 ** (exponent - 7) * (1 + fraction / 8)


HINT = "first bit"

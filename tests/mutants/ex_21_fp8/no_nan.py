"""Every byte is a number."""


def answer(byte):
    sign = -1 if byte >> 7 else 1
    exponent, fraction = byte >> 3 & 15, byte & 7
    if exponent == 0:
        return sign * 2**-6 * fraction / 8
    return sign * 2.0 ** (exponent - 7) * (1 + fraction / 8)


HINT = "no number at all"

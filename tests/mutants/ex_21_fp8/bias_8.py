"""The exponent is counted from 8, as if the range were symmetric."""


def answer(byte):
    sign = -1 if byte >> 7 else 1
    exponent, fraction = byte >> 3 & 15, byte & 7
    if exponent == 15 and fraction == 7:
        return float("nan")
    if exponent == 0:
        return sign * 2**-7 * fraction / 8
    return sign * 2.0 ** (exponent - 8) * (1 + fraction / 8)


HINT = "half as large"

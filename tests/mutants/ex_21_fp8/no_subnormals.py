"""Every byte has a leading one."""


def answer(byte):
    sign = -1 if byte >> 7 else 1
    exponent, fraction = byte >> 3 & 15, byte & 7
    if exponent == 15 and fraction == 7:
        return float("nan")
    return sign * 2.0 ** (exponent - 7) * (1 + fraction / 8)


HINT = "leading one is absent"

"""An odd side has the place that is too many at its positive end."""


def around_zero(side):
    return list(range(side % 2 - side // 2, side - side // 2 + side % 2))


def answer(rows, cols):
    return around_zero(rows), around_zero(cols), max(rows // 2, cols // 2)


HINT = "positive end"

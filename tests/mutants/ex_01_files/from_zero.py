"""Counts files from 0."""

HINT = "counted from 1"


def answer(sizes, limit):
    number_of, number, filled = {}, 0, 0
    for name, size in sizes.items():
        if filled and filled + size > limit:
            number, filled = number + 1, 0
        number_of[name] = number
        filled += size
    return number_of

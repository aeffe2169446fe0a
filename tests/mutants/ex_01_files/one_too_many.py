"""Closes a file after the tensor that overfilled it."""

HINT = "begins the next one"


def answer(sizes, limit):
    number_of, number, filled = {}, 1, 0
    for name, size in sizes.items():
        number_of[name] = number
        filled += size
        if filled > limit:
            number, filled = number + 1, 0
    return number_of

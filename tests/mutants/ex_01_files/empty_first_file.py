"""Opens the second file for a first tensor that is too large."""

HINT = "no file is empty"


def answer(sizes, limit):
    number_of, number, filled = {}, 1, 0
    for name, size in sizes.items():
        if filled + size > limit:
            number, filled = number + 1, 0
        number_of[name] = number
        filled += size
    return number_of

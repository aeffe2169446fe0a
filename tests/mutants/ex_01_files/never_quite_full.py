"""Begins a new file when the old one would be exactly full."""

HINT = "exactly its limit"


def answer(sizes, limit):
    number_of, number, filled = {}, 1, 0
    for name, size in sizes.items():
        if filled and filled + size >= limit:
            number, filled = number + 1, 0
        number_of[name] = number
        filled += size
    return number_of

"""Lets a tensor of more than the limit into a file with others."""

HINT = "for itself"


def answer(sizes, limit):
    number_of, number, filled = {}, 1, 0
    for name, size in sizes.items():
        if filled and size <= limit < filled + size:
            number, filled = number + 1, 0
        number_of[name] = number
        filled += size
    return number_of

"""Takes the tensors in alphabetical order."""

HINT = "in alphabetical order"


def answer(sizes, limit):
    number_of, number, filled = {}, 1, 0
    for name, size in sorted(sizes.items()):
        if filled and filled + size > limit:
            number, filled = number + 1, 0
        number_of[name] = number
        filled += size
    return number_of

"""A dictionary the other way round."""

HINT = "every tensor has a number"


def answer(sizes, limit):
    names_of, number, filled = {}, 1, 0
    for name, size in sizes.items():
        if filled and filled + size > limit:
            number, filled = number + 1, 0
        names_of[number] = [*names_of.get(number, []), name]
        filled += size
    return names_of

"""Does not count the tensor that begins a file."""

HINT = "count in this file"


def answer(sizes, limit):
    number_of, number, filled = {}, 1, 0
    for name, size in sizes.items():
        if filled and filled + size > limit:
            number, filled = number + 1, 0
        else:
            filled += size
        number_of[name] = number
    return number_of

"""Divides the bytes so far by the limit."""

HINT = "divides all bytes so far"


def answer(sizes, limit):
    number_of, total = {}, 0
    for name, size in sizes.items():
        total += size
        number_of[name] = 1 + (total - 1) // limit
    return number_of

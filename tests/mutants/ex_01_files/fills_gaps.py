"""Puts a tensor into the first file that has room for it."""

HINT = "back into an earlier file"


def answer(sizes, limit):
    number_of, files = {}, []
    for name, size in sizes.items():
        place = next((i for i, filled in enumerate(files) if filled + size <= limit), len(files))
        files[place:] = files[place:] or [0]
        files[place] += size
        number_of[name] = place + 1
    return number_of

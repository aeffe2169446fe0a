"""Gives the names of each file."""

HINT = "a dictionary from names"


def answer(sizes, limit):
    files, filled = [[]], 0
    for name, size in sizes.items():
        if files[-1] and filled + size > limit:
            files, filled = [*files, []], 0
        files[-1].append(name)
        filled += size
    return files

"""Changes the tensor it was given."""

HINT = "changes its argument levels itself"


def answer(levels, terminal):
    levels -= 1
    levels *= (1 - terminal) / -levels[-1]
    levels += 1
    return levels

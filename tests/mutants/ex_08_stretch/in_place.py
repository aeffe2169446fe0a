"""Changes the tensor it was given."""

HINT = "make a new tensor"


def answer(levels, terminal):
    levels -= 1
    levels *= (1 - terminal) / -levels[-1]
    levels += 1
    return levels

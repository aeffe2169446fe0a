"""Work grows with the square of the tokens."""


def answer(conditions, target, steps):
    whole = (conditions + target) ** 2
    return steps * whole / (whole + (steps - 1) * target**2)


HINT = "not with its square"

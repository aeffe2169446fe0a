"""A difference in place of a ratio."""


def answer(conditions, target, steps):
    return steps * (conditions + target) - (conditions + steps * target)


HINT = "a difference"

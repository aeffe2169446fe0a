"""The ratio the other way round."""


def answer(conditions, target, steps):
    return (conditions + steps * target) / (steps * (conditions + target))


HINT = "upside down"

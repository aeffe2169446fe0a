"""All rows against the same small level."""


def answer(chances, level=0.05):
    return {name for name, chance in chances.items() if chance <= level / len(chances)}


HINT = "more careful than need be"

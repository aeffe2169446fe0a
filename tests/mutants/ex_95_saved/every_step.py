"""The first step is free of charge, too."""


def answer(conditions, target, steps):
    return (conditions + target) / target


HINT = "the first has nothing stored"

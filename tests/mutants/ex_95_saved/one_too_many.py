"""The first step is counted twice."""


def answer(conditions, target, steps):
    return steps * (conditions + target) / (conditions + target + steps * target)


HINT = "counted twice"

"""What is kept is the target."""


def answer(conditions, target, steps):
    return steps * (conditions + target) / (steps * conditions + target)


HINT = "exchanged"

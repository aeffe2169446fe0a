"""The variance."""


def answer(rewards):
    deviation = rewards.var(correction=0) + 1e-4
    return ((rewards - rewards.mean()) / deviation).clamp(-5, 5)


HINT = "by the variance"

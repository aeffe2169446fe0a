"""Bounded above alone."""


def answer(rewards):
    deviation = rewards.std(correction=0) + 1e-4
    return ((rewards - rewards.mean()) / deviation).clamp(max=5)


HINT = "bound it below"

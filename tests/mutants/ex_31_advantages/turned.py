"""The sign."""


def answer(rewards):
    deviation = rewards.std(correction=0) + 1e-4
    return -((rewards - rewards.mean()) / deviation).clamp(-5, 5)


HINT = "the best of a group"

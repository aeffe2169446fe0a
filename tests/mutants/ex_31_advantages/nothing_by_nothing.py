"""0 / 0."""


def answer(rewards):
    deviation = rewards.std(correction=0)
    return ((rewards - rewards.mean()) / deviation).clamp(-5, 5)


HINT = "0 by 0"

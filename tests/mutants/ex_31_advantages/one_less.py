"""One less than the group."""


def answer(rewards):
    deviation = rewards.std() + 1e-4
    return ((rewards - rewards.mean()) / deviation).clamp(-5, 5)


HINT = "one less"

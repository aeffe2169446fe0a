"""The mean stays in."""


def answer(rewards):
    deviation = rewards.std(correction=0) + 1e-4
    return (rewards / deviation).clamp(-5, 5)


HINT = "not taken off"

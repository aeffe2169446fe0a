"""Not in deviations."""


def answer(rewards):
    return (rewards - rewards.mean()).clamp(-5, 5)


HINT = "not yet in deviations"

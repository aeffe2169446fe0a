"""From 0 to 1."""


def answer(rewards):
    return (rewards - rewards.min()) / (rewards.max() - rewards.min())


HINT = "nothing is below 0"

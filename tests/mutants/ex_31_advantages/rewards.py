"""The rewards themselves."""


def answer(rewards):
    return rewards.clone()


HINT = "rewards themselves"

"""Not bounded."""


def answer(rewards):
    deviation = rewards.std(correction=0) + 1e-4
    return (rewards - rewards.mean()) / deviation


HINT = "bound it at 5"

"""One mask for all steps."""

HINT = "a hard mask"


def answer(change, steps):
    return (change > 0.5).expand(steps, *change.shape)

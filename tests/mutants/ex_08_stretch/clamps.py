"""Lowers what lies near the end and cuts it off at the terminal level."""

HINT = "some of yours are equal"


def answer(levels, terminal):
    return (1 - 2 * (1 - levels)).clamp(min=terminal)

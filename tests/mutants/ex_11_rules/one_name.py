"""Gives a name and no set."""


def answer(velocity, x, txt, mask, tolerance):
    real = mask[:, :, None]
    right, other = velocity(x, txt, mask), velocity(x, txt.masked_fill(~real, 9), mask)
    return "padding" if (other - right).abs().max() > tolerance * right.abs().max() else "none"


HINT = "give a set"

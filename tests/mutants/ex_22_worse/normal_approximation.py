"""Two standard errors of the difference, too sure when few captions tell the two apart."""


def answer(variant, baseline):
    won = sum(a > b for a, b in zip(variant, baseline))
    lost = sum(a < b for a, b in zip(variant, baseline))
    return lost - won > 1.96 * (won + lost) ** 0.5


HINT = "5 against 0"

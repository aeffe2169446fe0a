"""At least six more lost than won, and twice as many."""

HINT = "a rule of thumb"


def answer(variant, baseline):
    won = sum(a > b for a, b in zip(variant, baseline))
    lost = sum(a < b for a, b in zip(variant, baseline))
    return lost - won >= 6 and lost >= 2 * won

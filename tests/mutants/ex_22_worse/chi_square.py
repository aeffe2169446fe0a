"""McNemar's chi-square with continuity correction, an approximation for many captions."""

HINT = "a formula for many captions"


def answer(variant, baseline):
    won = sum(a > b for a, b in zip(variant, baseline))
    lost = sum(a < b for a, b in zip(variant, baseline))
    return lost > won and (lost - won - 1) ** 2 / (won + lost) > 3.841459

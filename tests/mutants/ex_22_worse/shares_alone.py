"""Worse is worse: any smaller share."""


def answer(variant, baseline):
    return variant.count("1") < baseline.count("1")


HINT = "a matter of luck"

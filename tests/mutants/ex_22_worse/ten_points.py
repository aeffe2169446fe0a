"""A rule of thumb: ten points."""


def answer(variant, baseline):
    lost = baseline.count("1") - variant.count("1")
    return lost / len(variant) >= 0.1


HINT = "the shares lie close"

"""Two shares whose intervals do not overlap, as if the captions were not the same ones."""

import math


def interval(bits):
    share = bits.count("1") / len(bits)
    half = 1.96 * math.sqrt(share * (1 - share) / len(bits))
    return share - half, share + half


def answer(variant, baseline):
    return interval(variant)[1] < interval(baseline)[0]


HINT = "the shares lie close"

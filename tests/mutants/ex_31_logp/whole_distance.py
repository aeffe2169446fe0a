"""The distance is not halved."""

import math


def answer(x_next, mean, deviation):
    distance = ((x_next - mean) / deviation).pow(2)
    return (-distance - deviation.log() - math.log(2 * math.pi) / 2).mean(1)


HINT = "to be halved"

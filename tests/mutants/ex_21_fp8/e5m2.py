"""Five bits of exponent and two of fraction: the other fp8."""

import numpy as np


def answer(byte):
    return float(np.array([byte << 8], np.uint16).view(np.float16)[0])


HINT = "e5m2"

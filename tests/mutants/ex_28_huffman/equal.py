"""All codes of one length."""

import math


def answer(counts):
    occurring = sum(count > 0 for count in counts)
    return [math.ceil(math.log2(max(2, occurring))) if count else 0 for count in counts]


HINT = "equally long"

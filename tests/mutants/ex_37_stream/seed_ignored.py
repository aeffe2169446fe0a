"""The same order for every seed."""

import random


def answer(lengths, window, seed, start):
    rng = random.Random(0)
    order = list(range(len(lengths)))
    rng.shuffle(order)
    examples = []
    for begin in range(0, len(order), window):
        near = [(s, i) for s in order[begin : begin + window] for i in range(lengths[s])]
        rng.shuffle(near)
        examples += near
    return examples[start:]


HINT = "another seed gives the same order"

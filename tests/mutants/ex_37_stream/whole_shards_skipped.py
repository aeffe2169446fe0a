"""A stop costs what is left of its window."""

import random


def answer(lengths, window, seed, start):
    rng = random.Random(seed)
    order = list(range(len(lengths)))
    rng.shuffle(order)
    examples, passed = [], 0
    for begin in range(0, len(order), window):
        near = [(s, i) for s in order[begin : begin + window] for i in range(lengths[s])]
        rng.shuffle(near)
        if passed >= start:
            examples += near
        passed += len(near)
    return examples


HINT = "on there are"

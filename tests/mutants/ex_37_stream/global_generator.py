"""The generator of the whole program."""

import random


def answer(lengths, window, seed, start):
    rng = random
    order = list(range(len(lengths)))
    rng.shuffle(order)
    examples = []
    for begin in range(0, len(order), window):
        near = [(s, i) for s in order[begin : begin + window] for i in range(lengths[s])]
        rng.shuffle(near)
        examples += near
    return examples[start:]


HINT = "generator of your own"

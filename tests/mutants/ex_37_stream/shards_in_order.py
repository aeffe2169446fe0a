"""The shards come in the order of their names."""

import random


def answer(lengths, window, seed, start):
    rng = random.Random(seed)
    order = list(range(len(lengths)))
    examples = []
    for begin in range(0, len(order), window):
        near = [(s, i) for s in order[begin : begin + window] for i in range(lengths[s])]
        rng.shuffle(near)
        examples += near
    return examples[start:]


HINT = "shuffle them first"

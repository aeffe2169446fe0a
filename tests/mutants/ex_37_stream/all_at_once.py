"""All examples are shuffled together."""

import random


def answer(lengths, window, seed, start):
    rng = random.Random(seed)
    order = list(range(len(lengths)))
    rng.shuffle(order)
    examples = []
    for begin in range(0, len(order), len(order)):
        near = [(s, i) for s in order[begin : begin + len(order)] for i in range(lengths[s])]
        rng.shuffle(near)
        examples += near
    return examples[start:]


HINT = "shards are open at a time"

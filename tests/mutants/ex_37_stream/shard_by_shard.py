"""Each shard is shuffled by itself."""

import random


def answer(lengths, window, seed, start):
    rng = random.Random(seed)
    order = list(range(len(lengths)))
    rng.shuffle(order)
    examples = []
    for begin in range(0, len(order), 1):
        near = [(s, i) for s in order[begin : begin + 1] for i in range(lengths[s])]
        rng.shuffle(near)
        examples += near
    return examples[start:]


HINT = "each shard comes by itself"

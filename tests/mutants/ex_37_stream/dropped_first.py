"""What was trained on is dropped before the shuffling."""

import random


def answer(lengths, window, seed, start):
    rng = random.Random(seed)
    order = list(range(len(lengths)))
    rng.shuffle(order)
    left = [(s, i) for s in order for i in range(lengths[s])][start:]
    examples = []
    for begin in range(0, len(order), window):
        near = [pair for pair in left if pair[0] in order[begin : begin + window]]
        rng.shuffle(near)
        examples += near
    return examples


HINT = "first comes the whole order"

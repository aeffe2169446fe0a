"""Examples of a shard keep their order."""

import random


def answer(lengths, window, seed, start):
    rng = random.Random(seed)
    order = list(range(len(lengths)))
    rng.shuffle(order)
    examples = []
    for begin in range(0, len(order), window):
        shards = order[begin : begin + window]
        turns = [s for s in shards for _ in range(lengths[s])]
        rng.shuffle(turns)
        place = dict.fromkeys(shards, 0)
        for s in turns:
            examples.append((s, place[s]))
            place[s] += 1
    return examples[start:]


HINT = "shuffle them, too"

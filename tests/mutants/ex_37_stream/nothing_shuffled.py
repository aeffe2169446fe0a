"""The order of the files."""


def answer(lengths, window, seed, start):
    order = list(range(len(lengths)))
    examples = []
    for begin in range(0, len(order), window):
        near = [(s, i) for s in order[begin : begin + window] for i in range(lengths[s])]
        examples += near
    return examples[start:]


HINT = "nothing is shuffled"

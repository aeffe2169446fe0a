"""A symbol that is alone gets no bit."""


def answer(counts):
    groups = [(count, [symbol]) for symbol, count in enumerate(counts) if count]
    lengths = [0] * len(counts)
    while len(groups) > 1:
        groups.sort(key=lambda group: group[0])
        (rarest, ours), (second, theirs), *groups = groups
        for symbol in ours + theirs:
            lengths[symbol] += 1
        groups.append((rarest + second, ours + theirs))
    return lengths


HINT = "alone still needs"

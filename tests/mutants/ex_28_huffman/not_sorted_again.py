"""Sorted once and never again."""


def answer(counts):
    groups = [(count, [symbol]) for symbol, count in enumerate(counts) if count]
    groups.sort(key=lambda group: group[0])
    lengths = [0] * len(counts)
    if len(groups) == 1:
        lengths[groups[0][1][0]] = 1
    while len(groups) > 1:
        (rarest, ours), (second, theirs), *groups = groups
        for symbol in ours + theirs:
            lengths[symbol] += 1
        groups.append((rarest + second, ours + theirs))
    return lengths


HINT = "in fewer"

"""Rebuilds the list pair by pair and forgets a letter that has no neighbour."""

HINT = "something got lost or doubled"


def answer(tokens, ranks):
    while pairs := [pair for pair in zip(tokens, tokens[1:]) if pair in ranks]:
        best, merged, i = min(pairs, key=ranks.get), [], 0
        while i < len(tokens) - 1:
            joins = (tokens[i], tokens[i + 1]) == best
            merged.append("".join(best) if joins else tokens[i])
            i += 2 if joins else 1
        tokens = merged
    return list(tokens)

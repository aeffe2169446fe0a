"""Collects the pairs once, at the start: what a merge makes is never merged."""

HINT = "look again after a merge"


def answer(tokens, ranks):
    tokens = list(tokens)
    for pair in sorted({pair for pair in zip(tokens, tokens[1:]) if pair in ranks}, key=ranks.get):
        i = 0
        while i < len(tokens) - 1:
            if (tokens[i], tokens[i + 1]) == pair:
                tokens[i : i + 2] = ["".join(pair)]
            i += 1
    return tokens

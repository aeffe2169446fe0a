"""Joins the occurrences of a pair from the right."""

HINT = "left to right"


def answer(tokens, ranks):
    tokens = list(tokens)
    while pairs := [pair for pair in zip(tokens, tokens[1:]) if pair in ranks]:
        best = min(pairs, key=ranks.get)
        i = max(i for i, pair in enumerate(zip(tokens, tokens[1:])) if pair == best)
        tokens[i : i + 2] = ["".join(best)]
    return tokens

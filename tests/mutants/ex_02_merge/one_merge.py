"""Stops after one merge."""

HINT = "only one of them was joined"


def answer(tokens, ranks):
    tokens = list(tokens)
    known = [i for i in range(len(tokens) - 1) if (tokens[i], tokens[i + 1]) in ranks]
    if known:
        i = min(known, key=lambda i: ranks[tokens[i], tokens[i + 1]])
        tokens[i : i + 2] = [tokens[i] + tokens[i + 1]]
    return tokens

"""Counts pairs as far as the last but one."""

HINT = "stays in two"


def answer(tokens, ranks):
    tokens = list(tokens)
    while known := [i for i in range(len(tokens) - 2) if (tokens[i], tokens[i + 1]) in ranks]:
        i = min(known, key=lambda i: ranks[tokens[i], tokens[i + 1]])
        tokens[i : i + 2] = [tokens[i] + tokens[i + 1]]
    return tokens

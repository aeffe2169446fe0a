"""Right, but eats the list of whoever calls."""

HINT = "changes its argument tokens itself"


def answer(tokens, ranks):
    while known := [i for i in range(len(tokens) - 1) if (tokens[i], tokens[i + 1]) in ranks]:
        i = min(known, key=lambda i: ranks[tokens[i], tokens[i + 1]])
        tokens[i : i + 2] = [tokens[i] + tokens[i + 1]]
    return tokens

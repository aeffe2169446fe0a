"""Takes a high rank for a good one."""

HINT = "a low rank comes first"


def answer(tokens, ranks):
    tokens = list(tokens)
    while known := [i for i in range(len(tokens) - 1) if (tokens[i], tokens[i + 1]) in ranks]:
        i = max(known, key=lambda i: ranks[tokens[i], tokens[i + 1]])
        tokens[i : i + 2] = [tokens[i] + tokens[i + 1]]
    return tokens

"""Joins the leftmost pair that is known at all."""

HINT = "the rank decides, not the place"


def answer(tokens, ranks):
    tokens = list(tokens)
    i = 0
    while i < len(tokens) - 1:
        if (tokens[i], tokens[i + 1]) in ranks:
            tokens[i : i + 2] = [tokens[i] + tokens[i + 1]]
            i = 0
        else:
            i += 1
    return tokens

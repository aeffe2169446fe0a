"""Writes the tokens with spaces between them and replaces in that string."""

HINT = "'ca' only ends in a"


def answer(tokens, ranks):
    tokens = list(tokens)
    while pairs := [pair for pair in zip(tokens, tokens[1:]) if pair in ranks]:
        best = min(pairs, key=ranks.get)
        tokens = " ".join(tokens).replace(" ".join(best), "".join(best)).split()
    return tokens

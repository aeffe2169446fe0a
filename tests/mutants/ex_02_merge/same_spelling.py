"""Joins any two neighbours that spell what the best pair spells."""

HINT = "not what they spell together"


def answer(tokens, ranks):
    tokens = list(tokens)
    while pairs := [pair for pair in zip(tokens, tokens[1:]) if pair in ranks]:
        best, merged = "".join(min(pairs, key=ranks.get)), []
        while tokens:
            count = 2 if "".join(tokens[:2]) == best and len(tokens) > 1 else 1
            merged.append("".join(tokens[:count]))
            tokens = tokens[count:]
        tokens = merged
    return tokens

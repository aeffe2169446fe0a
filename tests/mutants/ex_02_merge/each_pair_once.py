"""A pair that was joined is never looked for again."""

HINT = "may come up again"


def answer(tokens, ranks):
    tokens, left = list(tokens), dict(ranks)
    while True:
        pairs = [pair for pair in zip(tokens, tokens[1:]) if pair in left]
        if not pairs:
            return tokens
        best, merged = min(pairs, key=left.get), []
        del left[best]
        while tokens:
            count = 2 if tuple(tokens[:2]) == best else 1
            merged.append("".join(tokens[:count]))
            tokens = tokens[count:]
        tokens = merged

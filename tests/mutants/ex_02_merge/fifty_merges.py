"""Never more than fifty merges."""

HINT = "joins sixty times"


def answer(tokens, ranks):
    tokens = list(tokens)
    for _ in range(50):
        pairs = [pair for pair in zip(tokens, tokens[1:]) if pair in ranks]
        if not pairs:
            break
        best, merged = min(pairs, key=ranks.get), []
        while tokens:
            count = 2 if tuple(tokens[:2]) == best else 1
            merged.append("".join(tokens[:count]))
            tokens = tokens[count:]
        tokens = merged
    return tokens

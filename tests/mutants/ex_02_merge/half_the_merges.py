"""Half as many merges as there are letters, and one more."""

HINT = "'abcdefgh' joins seven times"


def answer(tokens, ranks):
    tokens = list(tokens)
    for _ in range(len(tokens) // 2 + 1):
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

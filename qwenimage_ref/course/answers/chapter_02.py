"""Chapter 02: tokens."""


def EX_02_MERGE(tokens: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """Find the best pair, join it wherever it stands, left to right; again, until none is known."""
    tokens = list(tokens)
    while True:
        pairs = [pair for pair in zip(tokens, tokens[1:]) if pair in ranks]
        if not pairs:
            return tokens
        best = min(pairs, key=ranks.get)
        merged, i = [], 0
        while i < len(tokens):
            if tuple(tokens[i : i + 2]) == best:
                merged.append(tokens[i] + tokens[i + 1])
                i += 2
            else:
                merged.append(tokens[i])
                i += 1
        tokens = merged


EX_02_DEAR = "🐱🐶🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵"

SPOILERS = {
    "ex_02_merge": {"min", "sorted", "while", "zip"},
    "ex_02_dear": {"emoji", "emojis", "animals", "faces", "four"},
}

"""Uses the middle letter of three twice."""

HINT = "something got lost or doubled"


def answer(tokens, ranks):
    tokens = list(tokens)
    while pairs := [pair for pair in zip(tokens, tokens[1:]) if pair in ranks]:
        best = min(pairs, key=ranks.get)
        starts = {i for i, pair in enumerate(zip(tokens, tokens[1:])) if pair == best}
        rest = {i for i in range(len(tokens)) if i not in starts and i - 1 not in starts}
        tokens = ["".join(best) if i in starts else tokens[i] for i in sorted(starts | rest)]
    return tokens

"""Each step looks at one neighbourhood after the other, each with its own best pair."""

HINT = "the rank decides, not the place"


def answer(tokens, ranks):
    tokens, changed = list(tokens), True
    while changed:
        changed, merged, i = False, [], 0
        while i < len(tokens):
            if tuple(tokens[i : i + 2]) in ranks:
                merged.append(tokens[i] + tokens[i + 1])
                changed, i = True, i + 2
            else:
                merged.append(tokens[i])
                i += 1
        tokens = merged
    return tokens

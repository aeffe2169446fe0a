"""Takes the longest known token from the left, as some other tokenizers do."""

HINT = "the rank decides, not the place"


def answer(tokens, ranks):
    known, word, found = {"".join(pair) for pair in ranks}, "".join(tokens), []
    while word:
        sizes = [n for n in range(len(word), 1, -1) if word[:n] in known]
        size = sizes[0] if sizes else 1
        found.append(word[:size])
        word = word[size:]
    return found

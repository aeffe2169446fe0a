"""The first token of the word alone."""


def answer(lengths, start, stop):
    end = 0
    for number, length in enumerate(lengths):
        end += length
        if end > start:
            return [number]
    return []


HINT = "may need several tokens"

"""The character at stop counts."""


def answer(lengths, start, stop):
    places, end = [], 0
    for number, length in enumerate(lengths):
        begin, end = end, end + length
        if begin <= stop and end > start:
            places.append(number)
    return places


HINT = "character number stop is not in the word"

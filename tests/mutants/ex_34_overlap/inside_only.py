"""Only tokens that lie in the word as a whole."""


def answer(lengths, start, stop):
    places, end = [], 0
    for number, length in enumerate(lengths):
        begin, end = end, end + length
        if begin >= start and end <= stop:
            places.append(number)
    return places


HINT = "reaches over the edge"

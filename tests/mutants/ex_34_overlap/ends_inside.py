"""Only tokens that end in the word."""


def answer(lengths, start, stop):
    places, end = [], 0
    for number, length in enumerate(lengths):
        end += length
        if start < end <= stop:
            places.append(number)
    return places


HINT = "stop in the middle of a token"

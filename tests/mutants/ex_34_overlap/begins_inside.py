"""Only tokens that begin in the word."""


def answer(lengths, start, stop):
    places, end = [], 0
    for number, length in enumerate(lengths):
        begin, end = end, end + length
        if start <= begin < stop:
            places.append(number)
    return places


HINT = "begin in the middle of a token"

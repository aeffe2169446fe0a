"""Neighbours that touch the word count, too."""


def answer(lengths, start, stop):
    places, end = [], 0
    for number, length in enumerate(lengths):
        begin, end = end, end + length
        if begin <= stop and end >= start:
            places.append(number)
    return places


HINT = "nor does one that begins where it stops"

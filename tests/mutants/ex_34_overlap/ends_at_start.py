"""A token that ends where the word begins counts."""


def answer(lengths, start, stop):
    places, end = [], 0
    for number, length in enumerate(lengths):
        begin, end = end, end + length
        if begin < stop and end >= start:
            places.append(number)
    return places


HINT = "ends where the word begins"

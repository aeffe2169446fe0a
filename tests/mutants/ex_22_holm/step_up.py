"""Hochberg: begins with the largest."""


def answer(chances, level=0.05):
    order = sorted(chances, key=chances.get)
    while order and chances[order[-1]] > level / (len(chances) - len(order) + 1):
        order.pop()
    return set(order)


HINT = "stop where one fails"

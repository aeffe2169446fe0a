"""Benjamini and Hochberg: the share of false claims."""


def answer(chances, level=0.05):
    order = sorted(chances, key=chances.get)
    while order and chances[order[-1]] > level * len(order) / len(chances):
        order.pop()
    return set(order)


HINT = "the share of false claims"

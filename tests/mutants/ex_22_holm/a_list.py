"""The right names in a list."""


def answer(chances, level=0.05):
    claimed = []
    for name in sorted(chances, key=chances.get):
        if chances[name] > level / (len(chances) - len(claimed)):
            break
        claimed.append(name)
    return claimed


HINT = "a set of names"

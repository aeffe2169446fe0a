"""The level of the row before."""


def answer(chances, level=0.05):
    claimed = set()
    for name in sorted(chances, key=chances.get):
        if chances[name] > level / (len(chances) - len(claimed) + 1):
            break
        claimed.add(name)
    return claimed


HINT = "it should be"

"""Five in a hundred, whatever is asked for."""


def answer(chances, level=0.05):
    claimed = set()
    for name in sorted(chances, key=chances.get):
        if chances[name] > 0.05 / (len(chances) - len(claimed)):
            break
        claimed.add(name)
    return claimed


HINT = "it should be"

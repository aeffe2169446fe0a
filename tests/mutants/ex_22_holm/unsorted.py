"""Takes the rows as they come."""


def answer(chances, level=0.05):
    claimed = set()
    for name, chance in chances.items():
        if chance > level / (len(chances) - len(claimed)):
            break
        claimed.add(name)
    return claimed


HINT = "begin with the smallest chance"

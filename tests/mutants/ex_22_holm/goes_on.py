"""Does not stop at the first that fails."""


def answer(chances, level=0.05):
    order = sorted(chances, key=chances.get)
    return {name for k, name in enumerate(order) if chances[name] <= level / (len(order) - k)}


HINT = "stop at the first row"

"""Every row by itself."""


def answer(chances, level=0.05):
    return {name for name, chance in chances.items() if chance <= level}


HINT = "one false alarm is likely"

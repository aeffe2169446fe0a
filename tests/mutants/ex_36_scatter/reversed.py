"""The first process gets the last rows."""


def answer(gradients):
    return list((sum(gradients) / len(gradients)).chunk(len(gradients)))[::-1]


HINT = "reversed order"

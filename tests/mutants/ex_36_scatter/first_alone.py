"""Only the first gradient counts."""


def answer(gradients):
    return list(gradients[0].chunk(len(gradients)))


HINT = "first process alone"

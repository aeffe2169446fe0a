"""Gradients are added up."""


def answer(gradients):
    return list(sum(gradients).chunk(len(gradients)))


HINT = "grow with the number"

"""Normalises with the statistics of the picture at hand."""

HINT = "of this one picture"


def answer(z, mean, std):
    return (z - z.mean((0, 2, 3), keepdim=True)) / z.std((0, 2, 3), keepdim=True)

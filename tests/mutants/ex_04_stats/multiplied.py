"""Takes the deviation for its reciprocal, as upstream's name suggests."""

HINT = "wider"


def answer(z, mean, std):
    mean, std = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    return (z - mean) * std

"""Takes the deviation for a variance."""

HINT = "the variance"


def answer(z, mean, std):
    mean, std = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    return (z - mean) / std**2

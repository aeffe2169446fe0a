"""Goes the way back."""

HINT = "the inverse"


def answer(z, mean, std):
    mean, std = mean.view(-1, 1, 1), std.view(-1, 1, 1)
    return z * std + mean

"""Divides before it subtracts."""

HINT = "brackets"


def answer(z, mean, std):
    return z - mean.view(-1, 1, 1) / std.view(-1, 1, 1)

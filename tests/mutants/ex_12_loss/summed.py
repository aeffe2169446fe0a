"""Sums the squares."""


def answer(velocity_of, data, noise, sigma):
    level = sigma.view(-1, 1, 1, 1)
    x = (1 - level) * data + level * noise
    return (velocity_of(x, sigma) - (noise - data)).pow(2).sum()


HINT = "the squares are added up"

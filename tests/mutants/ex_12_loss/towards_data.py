"""Aims from noise to data."""


def answer(velocity_of, data, noise, sigma):
    level = sigma.view(-1, 1, 1, 1)
    x = (1 - level) * data + level * noise
    return (velocity_of(x, sigma) - (data - noise)).pow(2).mean()


HINT = "the target points from noise to data"

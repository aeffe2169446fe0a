"""Gives the network the share of the data."""


def answer(velocity_of, data, noise, sigma):
    level = sigma.view(-1, 1, 1, 1)
    x = (1 - level) * data + level * noise
    return (velocity_of(x, 1 - sigma) - (noise - data)).pow(2).mean()


HINT = "another sigma"

"""Shows the network the data."""


def answer(velocity_of, data, noise, sigma):
    return (velocity_of(data, sigma) - (noise - data)).pow(2).mean()


HINT = "the network is shown the clean data"

"""Mixes the other way round."""


def answer(velocity_of, data, noise, sigma):
    level = sigma.view(-1, 1, 1, 1)
    x = level * data + (1 - level) * noise
    return (velocity_of(x, sigma) - (noise - data)).pow(2).mean()


HINT = "data and noise have changed places"

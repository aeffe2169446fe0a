"""Mixes as DDPM does."""


def answer(velocity_of, data, noise, sigma):
    level = sigma.view(-1, 1, 1, 1)
    x = (1 - level**2).sqrt() * data + level * noise
    return (velocity_of(x, sigma) - (noise - data)).pow(2).mean()


HINT = "is not the mixture of the formula"

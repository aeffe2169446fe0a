"""Predicts the noise."""


def answer(velocity_of, data, noise, sigma):
    level = sigma.view(-1, 1, 1, 1)
    x = (1 - level) * data + level * noise
    return (velocity_of(x, sigma) - noise).pow(2).mean()


HINT = "the target is the noise"

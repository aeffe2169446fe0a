"""Uses the level of the first picture for all."""


def answer(velocity_of, data, noise, sigma):
    level = sigma[0]
    x = (1 - level) * data + level * noise
    return (velocity_of(x, sigma) - (noise - data)).pow(2).mean()


HINT = "each has its own"

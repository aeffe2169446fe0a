"""Takes the root."""


def answer(velocity_of, data, noise, sigma):
    level = sigma.view(-1, 1, 1, 1)
    x = (1 - level) * data + level * noise
    return (velocity_of(x, sigma) - (noise - data)).pow(2).mean().sqrt()


HINT = "the root is one step too many"

"""The weights of both noises add up to the level."""


def answer(latents, fresh, sigma, higher):
    shrunk = (1 - higher) / (1 - sigma)
    return shrunk * latents + (higher - shrunk * sigma) * fresh


HINT = "not add up in their weights"

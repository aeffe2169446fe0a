"""A variance in the place of a weight."""


def answer(latents, fresh, sigma, higher):
    shrunk = (1 - higher) / (1 - sigma)
    return shrunk * latents + (higher**2 - (shrunk * sigma) ** 2) * fresh


HINT = "multiplied by its root"

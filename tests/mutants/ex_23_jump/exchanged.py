"""The levels are exchanged."""


def answer(latents, fresh, sigma, higher):
    shrunk = (1 - sigma) / (1 - higher)
    return shrunk * latents + (sigma**2 - (shrunk * higher) ** 2) ** 0.5 * fresh


HINT = "root taken"

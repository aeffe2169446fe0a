"""The noise that is there counts as if it had not been shrunk."""


def answer(latents, fresh, sigma, higher):
    return (1 - higher) / (1 - sigma) * latents + (higher**2 - sigma**2) ** 0.5 * fresh


HINT = "it shrinks with the picture"

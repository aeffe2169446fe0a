"""The noise that is there is forgotten."""


def answer(latents, fresh, sigma, higher):
    return (1 - higher) / (1 - sigma) * latents + higher * fresh


HINT = "noise of their own"

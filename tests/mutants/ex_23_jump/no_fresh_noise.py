"""The noise that is there is made larger."""


def answer(latents, fresh, sigma, higher):
    return higher / sigma * latents + 0 * fresh


HINT = "add fresh noise"

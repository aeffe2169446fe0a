"""The latents are taken for a clean picture."""


def answer(latents, fresh, sigma, higher):
    return (1 - higher) * latents + higher * fresh


HINT = "a mixture already"

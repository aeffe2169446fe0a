"""The rule of variance-preserving mixtures."""


def answer(latents, fresh, sigma, higher):
    kept = (1 - higher**2) / (1 - sigma**2)
    return kept**0.5 * latents + (1 - kept) ** 0.5 * fresh


HINT = "as the mixtures of other models do"

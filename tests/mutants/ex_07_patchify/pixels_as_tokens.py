"""A token for each latent pixel."""


def answer(latents):
    return latents.flatten(2).transpose(1, 2)


HINT = "of tokens, (B, I, 4C)"

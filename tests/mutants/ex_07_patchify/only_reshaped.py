"""Counts numbers off."""


def answer(latents):
    return latents.reshape(len(latents), -1, 4 * latents.shape[1])


HINT = "only counted off"

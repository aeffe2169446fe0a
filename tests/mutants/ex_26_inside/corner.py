"""The upper left latent."""

HINT = "upper left latent"


def answer(mask):
    return mask[::2, ::2].flatten()

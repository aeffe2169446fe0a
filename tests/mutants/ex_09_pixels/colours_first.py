"""Colours first."""


def answer(vae, x, rows, cols):
    patches = x.view(len(x), rows, cols, -1, 2, 2)
    latents = patches.permute(0, 3, 1, 4, 2, 5).reshape(len(x), -1, 2 * rows, 2 * cols)
    img = vae.decode(vae.denormalize(latents))
    return img / 2 + 0.5


HINT = "the colours of a pixel come last"

"""Exchanges the sides."""


def answer(vae, x, rows, cols):
    patches = x.view(len(x), cols, rows, -1, 2, 2)
    latents = patches.permute(0, 3, 1, 4, 2, 5).reshape(len(x), -1, 2 * cols, 2 * rows)
    img = vae.decode(vae.denormalize(latents))
    return (img / 2 + 0.5).permute(0, 2, 3, 1)


HINT = "are pixels of shape"

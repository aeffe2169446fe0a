"""Columns before rows in a patch."""


def answer(vae, x, rows, cols):
    patches = x.view(len(x), rows, cols, -1, 2, 2)
    latents = patches.permute(0, 3, 1, 5, 2, 4).reshape(len(x), -1, 2 * rows, 2 * cols)
    img = vae.decode(vae.denormalize(latents))
    return (img / 2 + 0.5).permute(0, 2, 3, 1)


HINT = "inside of every patch"

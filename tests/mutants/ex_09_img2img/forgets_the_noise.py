"""Starts from the clean picture."""

HINT = "there is no noise in it"


def answer(pipe, img, noise, levels, strength, cond, uncond):
    steps = len(levels) - 1
    first = int(steps - steps * strength)
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    return pipe.denoise(clean, levels[first:], cond, uncond)

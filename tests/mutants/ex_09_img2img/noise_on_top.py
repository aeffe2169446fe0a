"""Adds the noise, and leaves the picture as strong as it was."""

HINT = "keeps its full weight"


def answer(pipe, img, noise, levels, strength, cond, uncond):
    steps = len(levels) - 1
    first = int(steps - steps * strength)
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    x = clean + levels[first] * noise
    return pipe.denoise(x, levels[first:], cond, uncond)

"""Swaps the weights of picture and noise."""

HINT = "much noise, not little"


def answer(pipe, img, noise, levels, strength, cond, uncond):
    steps = len(levels) - 1
    first = int(steps - steps * strength)
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    x = levels[first] * clean + (1 - levels[first]) * noise
    return pipe.denoise(x, levels[first:], cond, uncond)

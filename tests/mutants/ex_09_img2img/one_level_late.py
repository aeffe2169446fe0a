"""Noise for the step after the first."""

HINT = "fits the next level"


def answer(pipe, img, noise, levels, strength, cond, uncond):
    steps = len(levels) - 1
    first = int(steps - steps * strength)
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    x = (1 - levels[first + 1]) * clean + levels[first + 1] * noise
    return pipe.denoise(x, levels[first:], cond, uncond)

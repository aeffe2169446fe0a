"""Multiplies by 1 - strength, which is a hair below the number that it should be."""

HINT = "in floating point"


def answer(pipe, img, noise, levels, strength, cond, uncond):
    first = int((len(levels) - 1) * (1 - strength))
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    x = (1 - levels[first]) * clean + levels[first] * noise
    return pipe.denoise(x, levels[first:], cond, uncond)

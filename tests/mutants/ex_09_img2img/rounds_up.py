"""Skips one step too many where the share is no whole number."""

HINT = "one less rather than one more"


def answer(pipe, img, noise, levels, strength, cond, uncond):
    steps = len(levels) - 1
    first = round(steps - steps * strength)
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    x = (1 - levels[first]) * clean + levels[first] * noise
    return pipe.denoise(x, levels[first:], cond, uncond)

"""Turns the statistics the wrong way round."""

HINT = "wrong way round"


def answer(pipe, img, noise, levels, strength, cond, uncond):
    steps = len(levels) - 1
    first = int(steps - steps * strength)
    clean = pipe.vae.denormalize(pipe.vae.encode(img)[0])
    x = (1 - levels[first]) * clean + levels[first] * noise
    return pipe.denoise(x, levels[first:], cond, uncond)

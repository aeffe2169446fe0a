"""Takes the strength for the noise level."""

HINT = "no noise level"


def answer(pipe, img, noise, levels, strength, cond, uncond):
    steps = len(levels) - 1
    first = int(steps - steps * strength)
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    x = (1 - strength) * clean + strength * noise
    return pipe.denoise(x, levels[first:], cond, uncond)

"""Chapter 09: text to image."""


def EX_09_IMG2IMG(pipe, img, noise, levels, strength: float, cond, uncond):
    """Encode, go to the level from which `strength` of the steps are left, and denoise from there.

    (1, 3, H, W), (1, C, h, w), (steps + 1,) -> (1, C, h, w)
    """
    steps = len(levels) - 1
    first = int(steps - steps * strength)
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    x = (1 - levels[first]) * clean + levels[first] * noise
    return pipe.denoise(x, levels[first:], cond, uncond)


SPOILERS = {"ex_09_img2img": {"int", "floor", "sigmas"}}

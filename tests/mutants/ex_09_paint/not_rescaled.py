"""Extrapolates without rescaling."""

from qwenimage_ref.course.answers import EX_09_NOISE, EX_09_PIXELS, EX_09_STATES
from qwenimage_ref.sampler import euler_step, model_time, sigmas


def answer(parts, prompts, negatives, true_cfg_scale, height, width, steps, seeds):
    guided = negatives is not None and true_cfg_scale > 1
    texts = [
        EX_09_STATES(parts, group) for group in ([prompts, negatives] if guided else [prompts])
    ]
    x, rows, cols = EX_09_NOISE(seeds, height, width), height // 16, width // 16
    levels = sigmas(steps, rows * cols, parts.scheduler)
    for sigma, sigma_next in zip(levels, levels[1:]):
        time = model_time(sigma, x.dtype).expand(len(x))
        grid = [(1, rows, cols)]
        velocity, *away = [parts.transformer(x, txt, time, grid, mask) for txt, mask in texts]
        if guided:
            velocity = away[0] + true_cfg_scale * (velocity - away[0])
        x = euler_step(x, velocity, sigma, sigma_next)
    return EX_09_PIXELS(parts.vae, x, rows, cols)


HINT = "keep the lengths"

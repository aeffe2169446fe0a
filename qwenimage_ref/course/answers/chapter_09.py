"""Chapter 09: text to image."""

import torch

from ...sampler import euler_step, guide, model_time, pack, sigmas


def EX_09_STATES(parts, prompts):
    """B prompts -> (B, T, Dt), and (B, T) where tokens are real, or None where all of them are"""
    start, pad = parts.tokenizer.prefix_length, parts.tokenizer.pad_id
    rows = [parts.tokenizer.encode_prompt(prompt) for prompt in prompts]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    real = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
    mask = None if real.all() else real
    states = parts.text_encoder(ids, mask) * real.unsqueeze(-1)
    return states[:, start:], mask if mask is None else mask[:, start:]


def EX_09_NOISE(seeds, height: int, width: int):
    """B seeds -> (B, I, 64): each picture from a generator of its own"""
    shape = 1, 16, height // 8, width // 8
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return pack(torch.cat(drawn))


def EX_09_PIXELS(vae, x, rows: int, cols: int):
    """(B, I, 4C) -> (B, H, W, 3), from 0 to 1"""
    patches = x.view(len(x), rows, cols, -1, 2, 2)  # (B, rows, cols, C, dy, dx)
    latents = patches.permute(0, 3, 1, 4, 2, 5).reshape(len(x), -1, 2 * rows, 2 * cols)
    img = vae.decode(vae.denormalize(latents))
    return (img / 2 + 0.5).permute(0, 2, 3, 1)


def EX_09_PAINT(parts, prompts, negatives, true_cfg_scale: float, height, width, steps, seeds):
    """B prompts, B negative prompts or None, B seeds -> (B, H, W, 3), from 0 to 1"""
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
            velocity = guide(velocity, *away, true_cfg_scale)
        x = euler_step(x, velocity, sigma, sigma_next)
    return EX_09_PIXELS(parts.vae, x, rows, cols)


def EX_09_IMG2IMG(pipe, img, noise, levels, strength: float, cond, uncond):
    """Encode, go to the level from which `strength` of the steps are left, and denoise from there.

    (1, 3, H, W), (1, C, h, w), (steps + 1,) -> (1, C, h, w)
    """
    steps = len(levels) - 1
    first = int(steps - steps * strength)
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    x = (1 - levels[first]) * clean + levels[first] * noise
    return pipe.denoise(x, levels[first:], cond, uncond)


SPOILERS = {
    "ex_09_states": {"unsqueeze", "arange", "tensor"},
    "ex_09_noise": {"randn", "manual_seed"},
    "ex_09_pixels": {"permute", "reshape", "denormalize"},
    "ex_09_paint": {"model_time", "euler_step"},
    "ex_09_img2img": {"int", "floor", "sigmas"},
}

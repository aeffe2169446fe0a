"""Image to image: a picture goes under noise, and only the last part of the schedule is run."""

from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ..pictures import to_input
from ..sampler import draw, generators


class Start(NamedTuple):
    """Where a task enters the loop, and what becomes of its pictures."""

    latents: Tensor  # (B, C, h, w) at levels[0]
    levels: Tensor  # (steps + 1,) noise levels that are left
    keep: Callable | None = None  # that of `QwenImage.denoise`
    finish: Callable = list  # B painted pictures -> B pictures
    clean: Tensor | None = None  # (B, C, h, w) latents of the pictures


def image_to_image(pipe, pictures: list, shape, levels, strength: float, seed=None) -> Start:
    """RGB pictures, one or one a prompt, are scaled to the target and put under noise

    shape: prompts, height and width. levels: the whole schedule. Strength 1 leaves nothing of a
    picture. Source: diffusers' QwenImageImg2ImgPipeline.
    """
    _, height, width = shape
    left = levels[first_step(len(levels) - 1, strength) :]
    scaled = [picture.resize((width, height), Image.Resampling.LANCZOS) for picture in pictures]
    clean, noise = clean_and_noise(pipe, scaled, shape, seed)
    return Start(under_noise(clean, noise, left[0]), left, clean=clean)


def first_step(steps: int, strength: float) -> int:
    """The first step that is taken; those before it are skipped. At least one is taken.

    Raises ValueError for a strength that is not above 0 and at most 1.
    """
    if not isinstance(strength, Real) or not 0 < strength <= 1:
        raise ValueError(
            f"strength must be above 0 and at most 1, got {strength}; 0.6 is usual, "
            "1 leaves nothing of the picture"
        )
    return int(steps - min(steps * strength, steps))


@torch.no_grad()
def clean_and_noise(pipe, pictures: list, shape, seed=None) -> tuple[Tensor, Tensor]:
    """-> latents of the pictures and the noise to mix with them, (B, C, h, w) twice

    shape: prompts, height and width; the pictures have this size. A sample of the VAE's posterior
    is drawn first and then the noise, from one generator: a seed is used as upstream uses it.
    """
    count, height, width = shape
    pipe.check_picture(count, height, width)
    sources = generators(seed, count)
    mean, logvar = pipe.vae.encode(to_input(pictures).to(pipe.device, pipe.dtype))
    drawn = draw(mean.shape, sources[: len(mean)], mean.dtype).to(mean.device)
    clean = pipe.vae.normalize(mean + (logvar / 2).exp() * drawn)
    clean = clean.expand(count, -1, -1, -1)  # a single picture serves all prompts
    return clean, draw(clean.shape, sources, clean.dtype).to(clean.device)


def under_noise(clean: Tensor, noise: Tensor, sigma) -> Tensor:
    """(B, C, h, w), (B, C, h, w), () -> (B, C, h, w): the straight path from data to noise"""
    sigma = torch.as_tensor(sigma).to(clean)  # rounded to bf16 where the latents are, as upstream
    return sigma * noise + (1 - sigma) * clean

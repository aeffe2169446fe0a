"""Inpainting: what is white in a mask is painted anew, everything else is put back after each step.

Three options besides the mask:

padding_mask_crop: only the surroundings of the white are painted, at the full size of the target,
with this many pixels around it; the result is put back into the picture. Outside the mask not a
pixel changes.
inpaint_blur_size, inpaint_blur_sigma: the mask's edge in the latents is blurred by a Gaussian of
2 * size + 1 latents, 8 pixels each, and a standard deviation of sigma latents (DiffSynth's names).
"""

import math
from numbers import Integral, Real

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..pictures import input_picture
from .image_to_image import Start, clean_and_noise, first_step, under_noise

WHITE = 128  # grey levels from here on are painted anew
LANCZOS = Image.Resampling.LANCZOS


def inpaint(
    pipe, pictures, masks, shape, levels, strength, seed=None,
    padding_mask_crop=None, inpaint_blur_size=None, inpaint_blur_sigma=None,
) -> Start:  # fmt: skip
    """RGB pictures and a mask for each, of any mode -> where the loop starts, and what it keeps

    shape: prompts, height and width. levels: the whole schedule. Latents outside the mask end as
    those of the picture, to the last bit. Raises ValueError, one line. Source: diffusers'
    QwenImageInpaintPipeline.
    """
    _, height, width = shape
    left = levels[first_step(len(levels) - 1, strength) :]
    masks = [grey_mask(mask, picture.size) for mask, picture in zip(masks, pictures)]
    boxes = [None] * len(pictures)
    if padding_mask_crop is not None:
        boxes = [crop_box(mask, width, height, padding_mask_crop) for mask in masks]
    scaled, small = (
        [into_target(picture, box, width, height) for picture, box in zip(each, boxes)]
        for each in (pictures, masks)
    )
    mask = torch.stack([latent_mask(one, pipe.vae.config.scale) for one in small])
    mask = blurred(mask, inpaint_blur_size, inpaint_blur_sigma).to(pipe.device, pipe.dtype)
    clean, noise = clean_and_noise(pipe, scaled, shape, seed)

    def keep(sigma: float, latents: Tensor) -> Tensor:
        return (1 - mask) * under_noise(clean, noise, sigma) + mask * latents

    def finish(painted: list) -> list:
        if padding_mask_crop is None:
            return painted
        parts = (each * (len(painted) // len(each)) for each in (pictures, masks, boxes))
        return [overlay(*each) for each in zip(painted, *parts)]

    return Start(under_noise(clean, noise, left[0]), left, keep, finish, clean)


# -- masks ----------------------------------------------------------------------------------------


def grey_mask(mask: Image.Image, size: tuple) -> Image.Image:
    """A mask of any mode, in grey. Raises ValueError where it does not fit a picture of `size`."""
    grey = input_picture(mask, "mask_image").convert("L")
    if grey.size != size:
        raise ValueError(
            "mask_image must have the size of its picture, {}x{}, got {}x{}; resize it".format(
                *size, *grey.size
            )
        )
    _demand_white(grey.getextrema()[1] >= WHITE)
    return grey


def _demand_white(present: bool) -> None:
    if not present:
        raise ValueError(
            "mask_image must be white where the picture is to be painted anew, got too little "
            "white; draw an area of more than 16x16 pixels"
        )


def latent_mask(mask: Image.Image, scale: int) -> Tensor:
    """A grey mask of H x W pixels -> (1, h, w), 1 where it is painted anew and 0 elsewhere"""
    white = np.asarray(mask)[::scale, ::scale] >= WHITE  # the upper left pixel of each 8x8 counts
    _demand_white(white.any())
    return torch.from_numpy(white).float().unsqueeze(0)


def blurred(mask: Tensor, size: int | None, sigma: float | None) -> Tensor:
    """(N, 1, h, w) -> (N, 1, h, w), its edges softened; size and sigma None: as it is"""
    if size is None and sigma is None:
        return mask
    most = min(mask.shape[-2:]) - 1
    if not isinstance(size, Integral) or not 1 <= size <= most:
        raise ValueError(
            f"inpaint_blur_size must be a whole number of latents from 1 to {most}, got {size}"
        )
    if not isinstance(sigma, Real) or not 0 < sigma < math.inf:
        raise ValueError(f"inpaint_blur_sigma must be a finite number above 0, got {sigma}")
    weights = torch.exp(-((torch.arange(-size, size + 1) / sigma) ** 2) / 2)
    kernel = torch.outer(weights, weights) / weights.sum() ** 2
    mirrored = F.pad(mask, (int(size),) * 4, mode="reflect")
    return F.conv2d(mirrored, kernel[None, None]).clamp(0, 1)


# -- crops ----------------------------------------------------------------------------------------


def crop_box(mask: Image.Image, width: int, height: int, padding: int) -> tuple:
    """-> left, top, right, bottom: all that is not black, padded, in the target's proportions"""
    if not isinstance(padding, Integral) or padding < 0:
        raise ValueError(
            f"padding_mask_crop must be a whole number of pixels from 0 on, got {padding}"
        )
    left, top, right, bottom = mask.getbbox()
    left, top = max(left - padding, 0), max(top - padding, 0)
    right, bottom = min(right + padding, mask.width), min(bottom + padding, mask.height)
    ratio = width / height
    if (right - left) / (bottom - top) > ratio:
        wanted = int((right - left) / ratio - (bottom - top))
        top, bottom = _grown(top, bottom, wanted, mask.height)
    else:
        wanted = int((bottom - top) * ratio - (right - left))
        left, right = _grown(left, right, wanted, mask.width)
    return left, top, right, bottom


def _grown(low: int, high: int, wanted: int, end: int) -> tuple[int, int]:
    """An interval made longer on both sides, and moved inside 0 to `end` as far as it fits."""
    low, high = low - wanted // 2, high + wanted - wanted // 2
    beyond = max(high - end, 0)
    low, high = low - beyond, high - beyond
    return max(low, 0), min(high - min(low, 0), end)


def into_target(picture: Image.Image, box: tuple | None, width: int, height: int) -> Image.Image:
    """The target's size: stretched to it, or a box fitted into it, its edges repeated outwards."""
    if box is None:
        return picture.resize((width, height), LANCZOS)
    part = picture.crop(box)
    fitted = part.resize(_fitted_size(part, width, height, min), LANCZOS)
    left, top = width // 2 - fitted.width // 2, height // 2 - fitted.height // 2
    canvas = Image.new(picture.mode, (width, height))  # an odd last row stays black, as upstream
    canvas.paste(fitted, (left, top))
    # a box without width is the very edge, which is stretched outwards
    for x, at in ((0, 0), (fitted.width, left + fitted.width)) if left else ():
        edge = fitted.resize((left, height), box=(x, 0, x, fitted.height))
        canvas.paste(edge, (at, 0))
    for y, at in ((0, 0), (fitted.height, top + fitted.height)) if top else ():
        edge = fitted.resize((width, top), box=(0, y, fitted.width, y))
        canvas.paste(edge, (0, at))
    return canvas


def _fitted_size(picture: Image.Image, width: int, height: int, choose) -> tuple[int, int]:
    """In its own proportions, just inside width x height (choose = min) or around it (max)."""
    by_width = width, max(1, picture.height * width // picture.width)
    by_height = max(1, picture.width * height // picture.height), height
    return choose(by_height, by_width, key=lambda size: size[0] * size[1])


def overlay(painted: Image.Image, picture: Image.Image, mask: Image.Image, box: tuple):
    """The painted box, put back where it was cut out, seen through the mask's white"""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    around = painted.resize(_fitted_size(painted, width, height, max), LANCZOS)
    part = Image.new("RGB", (width, height))
    part.paste(around, (width // 2 - around.width // 2, height // 2 - around.height // 2))
    pasted = picture.copy()
    pasted.paste(part, (left, top))
    return Image.composite(pasted, picture, mask)

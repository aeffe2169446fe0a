"""Chapter 24: editing."""

import math

import torch
import torch.nn.functional as F

from ...sampler import pack


def EX_24_SIZE(width: int, height: int, area: int) -> tuple[int, int]:
    """Sides of a picture -> width and height of about `area` pixels, multiples of 32"""
    ratio = width / height
    exact = math.sqrt(area * ratio)
    return 32 * round(exact / 32), 32 * round(exact / ratio / 32)


def EX_24_ASSEMBLE(target, pictures: list):
    """(B, 16, h, w), [(B, 16, h', w'), ...] -> (B, S, 64), (S, 3): frame, row and column"""
    places = []
    for frame, latents in enumerate([target, *pictures]):
        rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
        row = torch.arange(rows) - (rows - rows // 2)
        col = torch.arange(cols) - (cols - cols // 2)
        places.append(torch.cartesian_prod(torch.tensor([frame]), row, col))
    return torch.cat([pack(each) for each in [target, *pictures]], dim=1), torch.cat(places)


def EX_24_HALVES(img, temb, linear, sublayers, target: int):
    """(B, S, D), (B, 2, D) of the noise level and of time zero -> (B, S, D), both halves done"""
    times = (torch.arange(img.shape[1]) >= target).long()
    numbers = linear(F.silu(temb))[:, times].chunk(6, dim=-1)
    for sublayer, (shift, scale, gate) in zip(sublayers, (numbers[:3], numbers[3:])):
        normed = F.layer_norm(img, img.shape[-1:], eps=1e-6)
        img = img + gate * sublayer(normed * (1 + scale) + shift)
    return img


SPOILERS = {
    "ex_24_size": {"sqrt"},
    "ex_24_assemble": {"cartesian_prod", "enumerate"},
    "ex_24_halves": {"chunk", "layer_norm"},
}

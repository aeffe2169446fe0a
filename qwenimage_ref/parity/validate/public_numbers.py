"""Published numbers about the released weights, which any copy of those weights must reproduce.

The reference would agree with us on any weights. These two tests show that the weights make sense.
"""

import json

import torch
import torch.nn.functional as F

from ...repository import ROOT
from ...vae import VAE
from ..tolerances import within
from .report import RowBuilder

FIT = ROOT / "tests" / "golden" / "latent_rgb.json"


def published_fit() -> tuple[torch.Tensor, torch.Tensor]:
    """Factors (C, 3) and bias (3,) that map latents of the official VAE to colours."""
    fit = json.loads(FIT.read_text(encoding="utf-8"))
    return torch.tensor(fit["factors"]), torch.tensor(fit["bias"])


def latents_and_colours(vae: VAE, img) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 3, H, W) -> (N, C), (N, 3): normalised latents of each place and its mean colour

    The colours are those of the decoded picture, in [0, 1].
    """
    mean, _ = vae.encode(img)
    colours = F.avg_pool2d(vae.decode(mean).float() / 2 + 0.5, vae.config.scale)
    rows = [x.permute(0, 2, 3, 1).flatten(0, 2) for x in (vae.normalize(mean).float(), colours)]
    return rows[0], rows[1]


def share_explained(latents, colours, factors, bias) -> float:
    """R squared of a linear fit: 1 if it predicts every colour, 0 if only their mean."""
    missed = colours - (latents @ factors + bias)
    return 1 - (missed.square().sum() / (colours - colours.mean(0)).square().sum()).item()


def colour_gate(vae: VAE, img, fit: tuple[torch.Tensor, torch.Tensor], least: float):
    """Yields a row: how well a published fit predicts colours from the latents of this VAE.

    It fails for swapped channels, wrong statistics and wrong colours.
    """
    builder = RowBuilder("gate")
    factors, bias = (x.to(img.device) for x in fit)
    share = share_explained(*latents_and_colours(vae, img), factors, bias)
    what = "colours that a published fit explains, at least"
    yield builder.row(what, share, least, share >= least)


def velocity_gate(velocity, target, sigma: float):
    """Yields a row: the mean square error of the velocity against noise - data, `target`."""
    error = (velocity.float() - target.float()).square().mean().item()
    what = f"velocity at sigma {sigma:.2f}, mean square error"
    yield RowBuilder("gate").row(what, error, within("velocity"))

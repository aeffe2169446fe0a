"""Numbers that others have published of the released weights: are these really those?

The reference would agree with us on any weights; these two ask whether the weights make sense.
"""

import json

import torch
import torch.nn.functional as F

from ...repository import ROOT
from ...vae import VAE
from ..tolerances import within
from .report import Judge

FIT = ROOT / "tests" / "golden" / "latent_rgb.json"


def published_fit() -> tuple[torch.Tensor, torch.Tensor]:
    """Factors (C, 3) and bias (3,) that take latents of the official VAE to colours."""
    fit = json.loads(FIT.read_text(encoding="utf-8"))
    return torch.tensor(fit["factors"]), torch.tensor(fit["bias"])


def latents_and_colours(vae: VAE, img) -> tuple[torch.Tensor, torch.Tensor]:
    """Of pictures (B, 3, H, W): each place's normalised latents (N, C) and its mean colour (N, 3).

    The colours are those that the VAE decodes again, in [0, 1].
    """
    mean, _ = vae.encode(img)
    colours = F.avg_pool2d(vae.decode(mean).float() / 2 + 0.5, vae.config.scale)
    rows = [x.permute(0, 2, 3, 1).flatten(0, 2) for x in (vae.normalize(mean).float(), colours)]
    return rows[0], rows[1]


def share_explained(latents, colours, factors, bias) -> float:
    """R squared of a linear fit: 1 where it says every colour, 0 where it knows only their mean."""
    missed = colours - (latents @ factors + bias)
    return 1 - (missed.square().sum() / (colours - colours.mean(0)).square().sum()).item()


def colour_gate(vae: VAE, img, fit: tuple[torch.Tensor, torch.Tensor], least: float):
    """Pictures through the VAE, and a fit of another's: catches wrong channels, scale, colours."""
    judge = Judge("gate")
    factors, bias = (x.to(img.device) for x in fit)
    share = share_explained(*latents_and_colours(vae, img), factors, bias)
    yield judge.row("colours that a published fit explains, at least", share, least, share >= least)


def velocity_gate(velocity, target, sigma: float):
    """How far the velocity is from `target`, noise - data, in the middle of the noise."""
    error = (velocity.float() - target.float()).square().mean().item()
    what = f"velocity at sigma {sigma:.2f}, mean square error"
    yield Judge("gate").row(what, error, within("velocity"))

"""Latents made visible: their channels, cheap previews, and a slider that turns a channel off."""

import ipywidgets
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from PIL import Image

from ... import pictures as shared
from ...vae import VAE
from ..panel import Panel, picture_box, slider
from ..show import PALETTE, Shown, figure, png

NONE = "none"  # the choice of no channel
FACTORS = (-1, 0, 1, 2)  # factors that the slider multiplies a channel by; 1: untouched


def to_pictures(img) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] -> B pictures"""
    steps = ((img.clamp(-1, 1) / 2 + 0.5) * 255).round().to(torch.uint8)
    return [Image.fromarray(pixels) for pixels in steps.permute(0, 2, 3, 1).cpu().numpy()]


def from_pictures(pictures) -> torch.Tensor:
    """B pictures of one size -> (B, 3, H, W) in [-1, 1]"""
    return shared.to_input([picture.convert("RGB") for picture in pictures])


def channels(latents, alt: str) -> Shown:
    """(C, h, w), normalised -> one small square for each channel, orange above zero, blue below"""
    C = len(latents)
    colours = [PALETTE["text"], PALETTE["paper"], PALETTE["image"]]
    two_sided = plt.matplotlib.colors.LinearSegmentedColormap.from_list("two sided", colours)
    columns = min(8, C)
    rows = -(-C // columns)
    fig, axes = plt.subplots(
        rows, columns, figsize=(1.35 * columns, 1.5 * rows), layout="constrained", squeeze=False
    )
    for ax in axes.flat[C:]:
        ax.axis("off")
    for number, ax in enumerate(axes.flat[:C]):
        ax.imshow(latents[number], cmap=two_sided, vmin=-3, vmax=3)
        ax.set_title(f"channel {number}", fontsize=8)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color(PALETTE["noise"])
    return figure(fig, alt)


def psnr(img, other) -> float:
    """(B, 3, H, W) twice, in [-1, 1] -> peak signal-to-noise ratio over all of them, in decibels"""
    return shared.psnr(img.unsqueeze(0), other.unsqueeze(0)).item()


def rgb_fit(latents, img) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised (B, C, h, w), (B, 3, H, W) -> factors (C, 3) and bias (3,), by least squares

    Linear, from the latents of a place to the mean colour, in [0, 1], of its pixels.
    """
    places, colours = _places(latents), _places(F.adaptive_avg_pool2d(img, latents.shape[2:]))
    ones = torch.ones(len(places), 1)
    solution = torch.linalg.lstsq(torch.cat([places, ones], 1), colours / 2 + 0.5).solution
    return solution[:-1], solution[-1]


def preview(latents, factors, bias) -> list[Image.Image]:
    """Normalised (B, C, h, w) -> B pictures of w x h pixels, by a linear map and nothing else"""
    img = torch.einsum("bchw,cr->brhw", latents, factors) + bias[:, None, None]
    return to_pictures(2 * img - 1)


def scaled(latents, channel: int | str, factor: float) -> torch.Tensor:
    """(B, C, h, w) -> the same with one channel multiplied, or with NONE"""
    out = latents.clone()
    if channel != NONE:
        out[:, channel] *= factor
    return out


class ChannelSliders(Panel):
    """Sliders for a channel and the factor that it is multiplied by, over the decoded picture."""

    summary = "sliders for a latent channel and a factor over the picture; run the notebook to move"

    def __init__(self, vae: VAE, latents):
        self.vae, self.latents = vae, latents
        self.channel = slider("channel", (NONE, *range(latents.shape[1])), NONE)
        self.factor = slider("times", FACTORS, 0)
        self.picture, self.words = picture_box(), ipywidgets.Label()
        super().__init__([self.channel, self.factor], [self.picture, self.words])

    @torch.no_grad()
    def state(self, channel: int | str, factor: float) -> tuple[bytes, str]:
        untouched, other = (
            self.vae.decode(self.vae.denormalize(z))
            for z in (self.latents, scaled(self.latents, channel, factor))
        )
        words = "all channels as they are"
        if not torch.equal(untouched, other):
            words = f"channel {channel} times {factor}: {psnr(other, untouched):.1f} dB"
        return png(to_pictures(other)[0]), words


def _places(x) -> torch.Tensor:
    """(B, C, h, w) -> (B h w, C)"""
    return x.permute(0, 2, 3, 1).flatten(0, 2)

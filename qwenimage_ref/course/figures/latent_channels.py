"""Latents made visible: their channels, cheap previews, and a slider that turns a channel off."""

import ipywidgets
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from PIL import Image

from ... import pictures as shared
from ...vae import VAE
from ..show import PALETTE, Shown, figure, png

NONE = "none"  # of the channels
FACTORS = (-1, 0, 1, 2)  # that the slider multiplies a channel by; 1: untouched


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
    found = torch.linalg.lstsq(torch.cat([places, ones], 1), colours / 2 + 0.5).solution
    return found[:-1], found[-1]


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


class Channels(ipywidgets.VBox):
    """Sliders for a channel and the factor that it is multiplied by, over the decoded picture."""

    def __init__(self, vae: VAE, latents):
        self.vae, self.latents = vae, latents
        self.channel = _slider("channel", (NONE, *range(latents.shape[1])), NONE)
        self.factor = _slider("times", FACTORS, 0)
        self.picture = ipywidgets.Image(format="png", width=256, height=256)
        self.words = ipywidgets.Label()
        for slider in (self.channel, self.factor):
            slider.observe(self._decode, "value")
        super().__init__([self.channel, self.factor, self.picture, self.words])
        self._decode()

    def _decode(self, _change=None) -> None:
        channel, factor = self.channel.value, self.factor.value
        with torch.no_grad():
            whole, other = (
                self.vae.decode(self.vae.denormalize(z))
                for z in (self.latents, scaled(self.latents, channel, factor))
            )
        self.picture.value = png(to_pictures(other)[0])
        if torch.equal(whole, other):
            self.words.value = "all channels as they are"
        else:
            self.words.value = f"channel {channel} times {factor}: {psnr(other, whole):.1f} dB"

    def __repr__(self) -> str:
        """What readers see where no widget can be: on GitHub, in print."""
        return (
            "sliders for a latent channel and a factor over the picture; run the notebook to move"
        )


def _places(x) -> torch.Tensor:
    """(B, C, h, w) -> (B h w, C)"""
    return x.permute(0, 2, 3, 1).flatten(0, 2)


def _slider(name: str, options, value) -> ipywidgets.SelectionSlider:
    return ipywidgets.SelectionSlider(
        options=options, value=value, description=name, continuous_update=False
    )

"""Control pictures: checked against the pipeline, encoded, and given to their networks."""

import math
from dataclasses import dataclass
from numbers import Real

import torch
from PIL import Image
from torch import Tensor

from ..adapt.control import Applied, BlockwiseControlNet
from ..controlnet import ControlNet
from ..limits import TOKEN
from ..pictures import input_picture, to_input
from ..sampler import draw, generators, pack
from .inpaint import grey_mask, into_target, latent_mask

BLACK = -1.0  # a pixel in [-1, 1]


@dataclass(frozen=True)
class Control:
    """A picture that says what is where, and the network that reads it. Checked when it is made."""

    net: ControlNet | BlockwiseControlNet
    picture: Image.Image  # edges, depth, a pose; of inpainting networks the picture itself
    scale: float = 1.0  # factor of what the network adds
    start: float = 0.0  # share of the steps from which on it acts
    end: float = 1.0  # share up to which it acts
    mask: Image.Image | None = None  # inpainting networks: white where it is painted anew

    def __post_init__(self):
        if not isinstance(self.scale, Real) or not math.isfinite(self.scale):
            raise ValueError(f"the scale of a control must be a finite number, got {self.scale}")
        shares = isinstance(self.start, Real) and isinstance(self.end, Real)
        if not shares or not 0 <= self.start < self.end <= 1:
            raise ValueError(
                "the window of a control must be two shares of the steps, 0 <= start < end <= 1, "
                f"got {self.start} to {self.end}"
            )
        object.__setattr__(self, "picture", input_picture(self.picture, "the control picture"))
        if reads_mask(self.net) and self.mask is None:
            raise ValueError("a mask must be given to an inpainting control network, got none")
        if self.mask is not None:
            if not reads_mask(self.net):
                raise ValueError(
                    "a mask must go with an inpainting control network; leave it out, or take one"
                )
            object.__setattr__(self, "mask", grey_mask(self.mask, self.picture.size))


def reads_mask(net: ControlNet | BlockwiseControlNet) -> bool:
    """Whether a control network is one for inpainting."""
    return net.config.extra_condition_channels > 0


def check_networks(controls: list[Control], config) -> None:
    """Raises ValueError for networks of another transformer than the one of this config."""
    for control in controls:
        numbers, blocks = control.net.config, config.num_layers
        fits = numbers.num_layers <= blocks
        if isinstance(control.net, BlockwiseControlNet):
            fits = numbers.num_layers == blocks
        if numbers.inner_dim != config.inner_dim or not fits:
            raise ValueError(
                f"the control network must be made for a transformer of {blocks} blocks that is "
                f"{config.inner_dim} wide, got one of {numbers.num_layers} blocks that is "
                f"{numbers.inner_dim} wide; take the one of this model"
            )


def check_sizes(controls: list[Control], height: int, width: int) -> None:
    """Raises ValueError for a control picture in other proportions than the target."""
    for picture in (control.picture for control in controls):
        # sides that were rounded to multiples of 32 are the same proportions
        ratio = picture.width / picture.height
        if abs(ratio * height - width) > TOKEN * (1 + ratio):
            raise ValueError(
                f"the control picture must have the proportions of the target, {width}x{height}, "
                f"got {picture.width}x{picture.height}; crop it, or paint at its size"
            )


def applied(pipe, controls: list[Control], shape, seed, sources) -> list[Applied]:
    """Each control with its picture as tokens, for one run of the sampler

    shape: prompts, height and width. sources: generators from which the VAE's posterior is sampled
    for InstantX's networks. A blockwise one reads the posterior's mean, as upstream.
    """
    check_sizes(controls, *shape[1:])
    return [
        Applied(
            each.net,
            picture_tokens(pipe, each, shape, seed, sources),
            each.scale,
            each.start,
            each.end,
        )  # fmt: skip
        for each in controls
    ]


@torch.no_grad()
def picture_tokens(pipe, control: Control, shape, seed, sources) -> Tensor:
    """A control's picture, scaled to the target -> its tokens, (B, I, 64), with a mask (B, I, 68)

    Sources: diffusers' QwenImageControlNetPipeline and QwenImageControlNetInpaintPipeline.
    """
    count, height, width = shape
    picture, mask = (
        each and into_target(each, None, width, height) for each in (control.picture, control.mask)
    )
    if mask is not None:
        # careful: upstream samples here from the global generator, as if it were a fresh one
        sources = generators(seed, count)
    drawn = (sources, count) if isinstance(control.net, ControlNet) else None
    latents = control_latents(pipe, picture, mask, drawn)
    return pack(latents.expand(count, -1, -1, -1)).to(pipe.dtype)


def control_latents(pipe, picture: Image.Image, mask=None, drawn=None) -> Tensor:
    """Latents of an RGB picture at the target's size, (1 or B, C, h, w)

    mask: grey; what is white is hidden, and a further channel says what is not. drawn: generators
    of B samples of the VAE's posterior, and B; None: its mean.
    """
    img = to_input([picture])
    if mask is not None:
        img = torch.where(latent_mask(mask, 1).bool(), BLACK, img)
    mean, logvar = pipe.vae.encode(img.to(pipe.device, pipe.dtype))
    latents = mean
    if drawn is not None:
        sources, count = drawn
        latents = mean.expand(count, -1, -1, -1)
        sample = draw(latents.shape, sources, mean.dtype).to(mean.device)
        latents = latents + (logvar / 2).exp() * sample
    latents = pipe.vae.normalize(latents.float())  # upstream's statistics are float32 here
    if mask is not None:
        kept = 1 - latent_mask(mask, pipe.vae.config.scale).to(latents)
        latents = torch.cat([latents, kept.expand(len(latents), 1, -1, -1)], dim=1)
    return latents

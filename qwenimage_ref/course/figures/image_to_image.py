"""A picture painted over another one, and a slider for how much of the other one is left."""

from functools import cache

import ipywidgets
import torch
from PIL import Image

from ...pocket.train import as_input
from ...posters.read import read
from ...sampler import sigmas
from ..panel import Panel, picture_box, slider
from ..show import describe, png

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


@torch.no_grad()
def start_latents(pipe, picture: Image.Image, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A picture and a seed -> its latents and the noise to mix with them, (1, C, h, w) twice

    Both are drawn from one generator, first the sample of the VAE's posterior and then the noise,
    as diffusers' QwenImageImg2ImgPipeline does.
    """
    generator = torch.Generator().manual_seed(seed)
    mean, logvar = pipe.vae.encode(as_input([picture.convert("RGB")]))
    sample = mean + (logvar / 2).exp() * torch.randn(mean.shape, generator=generator)
    return pipe.vae.normalize(sample), torch.randn(mean.shape, generator=generator)


@torch.no_grad()
def repaint(pipe, picture: Image.Image, prompt: str, strength: float, steps: int = 20, seed=0):
    """A picture under noise, painted anew from there: at strength 1 nothing of it is left.

    strength: the share of the steps that are taken, the last ones.
    """
    cond, uncond = pipe.encode_prompts([[prompt], [" "]])
    levels = sigmas(steps, (picture.height // 16) * (picture.width // 16), pipe.scheduler)
    first = int(steps - steps * strength)  # rounded down, as upstream
    clean, noise = start_latents(pipe, picture, seed)
    x = (1 - levels[first]) * clean + levels[first] * noise
    return pipe.to_pictures(pipe.denoise(x, levels[first:], cond, uncond))[0]


class StrengthSlider(Panel):
    """A slider for the strength over a picture that is painted over. `picture.value` is its PNG."""

    summary = "a slider for the strength over a repainted picture; run the notebook to move"

    def __init__(self, pipe, start: Image.Image, prompt: str, strength: float = 0.6):
        # each strength is painted when it is first asked for
        self.paint = cache(lambda strength: repaint(pipe, start, prompt, strength))
        self.strength = slider("strength", STRENGTHS, strength)
        self.picture, self.words = picture_box(), ipywidgets.Label()
        super().__init__([self.strength], [self.picture, self.words])

    def state(self, strength: float) -> tuple[bytes, str]:
        painted = self.paint(strength)
        return png(painted), f"strength {strength}: {describe(read(painted))}"

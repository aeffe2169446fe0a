"""A picture painted over another one, and a slider for how much of the other one is left."""

import ipywidgets
import torch
from PIL import Image

from ...pocket.train import as_input
from ...posters.read import read
from ...sampler import sigmas
from ..show import describe, png

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


@torch.no_grad()
def repaint(pipe, picture: Image.Image, prompt: str, strength: float, steps: int = 20, seed=0):
    """A picture under noise, painted anew from there: at strength 1 nothing of it is left.

    strength: the share of the steps that are taken, the last ones.
    """
    cond, uncond = pipe.encode_prompts([[prompt], [" "]])
    levels = sigmas(steps, (picture.height // 16) * (picture.width // 16), pipe.scheduler)
    first = int(steps - steps * strength)  # rounded down, as upstream
    img = as_input([picture.convert("RGB")])
    clean = pipe.vae.normalize(pipe.vae.encode(img)[0])
    noise = pipe.noise(1, picture.height, picture.width, seed)
    x = (1 - levels[first]) * clean + levels[first] * noise
    return pipe.to_pictures(pipe.denoise(x, levels[first:], cond, uncond))[0]


class Repainter(ipywidgets.VBox):
    """A slider for the strength over a picture that is painted over. `picture.value` is its PNG."""

    def __init__(self, pipe, picture: Image.Image, prompt: str, strength: float = 0.6):
        self.pipe, self.start, self.prompt = pipe, picture, prompt
        self._painted: dict[float, Image.Image] = {}
        self.strength = ipywidgets.SelectionSlider(
            # careful: not while dragging; every value passed on the way would be painted
            options=STRENGTHS, value=strength, description="strength", continuous_update=False
        )  # fmt: skip
        self.picture = ipywidgets.Image(format="png", width=256, height=256)
        self.words = ipywidgets.Label()
        self.strength.observe(self._repaint, "value")
        super().__init__([self.strength, self.picture, self.words])
        self._repaint()

    def paint(self, strength: float) -> Image.Image:
        """The start picture painted over; each strength is painted once."""
        if strength not in self._painted:
            self._painted[strength] = repaint(self.pipe, self.start, self.prompt, strength)
        return self._painted[strength]

    def _repaint(self, _change=None) -> None:
        painted = self.paint(self.strength.value)
        self.picture.value = png(painted)
        self.words.value = f"strength {self.strength.value}: {describe(read(painted))}"

    def __repr__(self) -> str:
        """What readers see where no widget can be: on GitHub, in print."""
        return "a slider for the strength over a repainted picture; run the notebook to move"

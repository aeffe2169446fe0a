"""A picture painted over another one, and a slider for how much of the other one is left."""

from functools import cache, partial

import ipywidgets
from PIL import Image

from ...posters.read import read
from ..panel import Panel, picture_box, slider
from ..show import describe, png

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


class StrengthSlider(Panel):
    """A slider for the strength over a picture that is painted over. `picture.value` is its PNG."""

    summary = "a slider for the strength over a repainted picture; run the notebook to move"

    def __init__(self, pipe, start: Image.Image, prompt: str, strength: float = 0.6):
        # each strength is painted when it is first asked for
        self.paint = cache(partial(_painted_over, pipe, start, prompt))
        self.strength = slider("strength", STRENGTHS, strength)
        self.picture, self.words = picture_box(), ipywidgets.Label()
        super().__init__([self.strength], [self.picture, self.words])

    def state(self, strength: float) -> tuple[bytes, str]:
        painted = self.paint(strength)
        return png(painted), f"strength {strength}: {describe(read(painted))}"


def _painted_over(pipe, start: Image.Image, prompt: str, strength: float) -> Image.Image:
    return pipe(prompt, " ", image=start, strength=strength, num_inference_steps=20, seed=0)[0]

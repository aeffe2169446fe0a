"""Sliders over a picture. What they do is a plain function; the widgets only call it.

Built from `observe` and the values of an Image and a Label: a saved notebook then holds nothing
that differs from run to run.
"""

from dataclasses import dataclass, replace

import ipywidgets
from PIL import Image

from ..posters.read import read
from .panel import Panel, picture_box, slider
from .show import describe, png

SEEDS = (0, 1, 2, 3)
STEPS = (2, 4, 8, 20)
GUIDANCES = (1, 2, 4, 8)  # 1: no guidance


@dataclass(frozen=True)
class Setting:
    """Everything a picture depends on, besides the weights."""

    prompt: str
    seed: int = 0
    steps: int = 20
    guidance: float = 4

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.steps} steps, guidance {self.guidance}"


def paint(pipe, setting: Setting) -> Image.Image:
    """One picture, guided away from the empty prompt " "."""
    return pipe(
        setting.prompt,
        negative_prompt=" ",
        true_cfg_scale=setting.guidance,
        num_inference_steps=setting.steps,
        seed=setting.seed,
    )[0]


def paint_png(pipe, setting: Setting) -> bytes:
    """One picture as PNG bytes: what an Image widget shows."""
    return png(paint(pipe, setting))


def one_by_one(home: Setting) -> list[Setting]:
    """Each slider moved alone from `home`: the states that stand below the sliders, in print."""
    moved = [replace(home, seed=seed) for seed in SEEDS]
    moved += [replace(home, steps=steps) for steps in STEPS]
    return moved + [replace(home, guidance=guidance) for guidance in GUIDANCES]


class Sliders(Panel):
    """A prompt and three sliders over the picture they make. `picture.value` holds its PNG."""

    summary = "sliders for seed, steps and guidance over one picture; run the notebook to move"

    def __init__(self, pipe, first: Setting):
        self.pipe = pipe
        layout = ipywidgets.Layout(width="36em")
        self.prompt = ipywidgets.Text(
            first.prompt, description="prompt", continuous_update=False, layout=layout
        )
        self.seed = slider("seed", SEEDS, first.seed)
        self.steps = slider("steps", STEPS, first.steps)
        self.guidance = slider("guidance", GUIDANCES, first.guidance)
        self.picture, self.words = picture_box(), ipywidgets.Label()
        controls = [self.prompt, self.seed, self.steps, self.guidance]
        super().__init__(controls, [self.picture, self.words])

    def state(self, *values) -> tuple[bytes | None, str]:
        setting = Setting(*values)
        try:
            painted = paint(self.pipe, setting)
        except ValueError as error:  # a prompt that is too long; the old picture stays
            return None, str(error)
        return png(painted), f"{setting}: {describe(read(painted))}"


class Film(Panel):
    """Frames that are there already, one at a time: a button plays them, a slider stops at one."""

    summary = "a film of the frames above with a play button; run the notebook to play it"

    def __init__(self, frames: list[Image.Image], captions: list[str]):
        self._frames, self._captions = frames, captions
        last = len(frames) - 1
        self.step = ipywidgets.IntSlider(last, 0, last, description="frame", readout=False)
        self.play = ipywidgets.Play(value=last, min=0, max=last, interval=250)  # milliseconds
        ipywidgets.link((self.play, "value"), (self.step, "value"))
        self.picture, self.words = picture_box(), ipywidgets.Label()
        outputs = [self.picture, self.words]
        super().__init__([self.step], outputs, [self.play, self.step, *outputs])

    def state(self, step: int) -> tuple[bytes, str]:
        return png(self._frames[step]), self._captions[step]

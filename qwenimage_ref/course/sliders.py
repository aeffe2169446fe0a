"""Sliders over a picture. What they do is a plain function; the widgets only call it.

Built from `observe` and the values of an Image and a Label: a saved notebook then holds nothing
that differs from run to run.
"""

from dataclasses import dataclass, replace

import ipywidgets
from PIL import Image

from ..posters.read import read
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


class Sliders(ipywidgets.VBox):
    """A prompt and three sliders over the picture they make. `picture.value` holds its PNG."""

    def __init__(self, pipe, home: Setting):
        self.pipe = pipe
        self._painted: dict[Setting, tuple[bytes, str]] = {}
        layout = ipywidgets.Layout(width="36em")
        self.prompt = ipywidgets.Text(
            home.prompt, description="prompt", continuous_update=False, layout=layout
        )
        self.seed = _slider("seed", SEEDS, home.seed)
        self.steps = _slider("steps", STEPS, home.steps)
        self.guidance = _slider("guidance", GUIDANCES, home.guidance)
        self.picture = ipywidgets.Image(format="png", width=256, height=256)
        self.words = ipywidgets.Label()
        for control in self.controls:
            control.observe(self._repaint, "value")
        super().__init__([*self.controls, self.picture, self.words])
        self._repaint()

    @property
    def controls(self):
        return self.prompt, self.seed, self.steps, self.guidance

    @property
    def setting(self) -> Setting:
        return Setting(*(control.value for control in self.controls))

    def _repaint(self, _change=None) -> None:
        setting = self.setting
        try:
            self.picture.value, self.words.value = self._look_up(setting)
        except ValueError as error:  # a prompt too long, say: the old picture stays
            self.words.value = f"{error}"

    def _look_up(self, setting: Setting) -> tuple[bytes, str]:
        if setting not in self._painted:
            picture = paint(self.pipe, setting)
            words = f"{setting}: {describe(read(picture))}"
            self._painted[setting] = png(picture), words
        return self._painted[setting]

    def __repr__(self) -> str:
        """What readers see where no widget can be: on GitHub, in print."""
        return "sliders for seed, steps and guidance over one picture; run the notebook to move"


def _slider(name: str, options: tuple, value) -> ipywidgets.SelectionSlider:
    # careful: not while dragging; every value passed on the way would be painted
    return ipywidgets.SelectionSlider(
        options=options, value=value, description=name, continuous_update=False
    )

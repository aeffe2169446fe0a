"""Styles of posters: a palette of one paper and one colour of shapes, whatever a caption says.

In a style every shape of a scene is drawn in its colour, on its paper; names, places and word stay.
The reader of posters reads it back, and the pocket VAE can represent it, as it does any poster.
"""

import dataclasses
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image

from .captions import reworded
from .draw import draw
from .read import read, score
from .scene import BACKGROUNDS, COLOURS, Scene, Shape, sample_scene


@dataclass(frozen=True)
class Style:
    paper: str  # a key of BACKGROUNDS
    colour: str  # a key of COLOURS, of all shapes

    @property
    def unseen(self) -> bool:
        """True if training never shows this colour on this paper."""
        return self in UNSEEN_STYLES


ALL = tuple(Style(paper, colour) for paper in BACKGROUNDS for colour in COLOURS)
# Never drawn for training: two colours on each paper, so that each colour and each paper occurs.
UNSEEN_STYLES = tuple(
    style
    for style in ALL
    if ([*BACKGROUNDS].index(style.paper) + [*COLOURS].index(style.colour)) % 4 == 0
)


def sample_style(seed: int | str, unseen: bool | None = False) -> Style:
    """A random style. unseen: False: as in training; True: never trained; None: either."""
    styles = [style for style in ALL if unseen is None or style.unseen == unseen]
    return random.Random(f"style {seed}").choice(styles)


def styled(style: Style, scene: Scene) -> Scene:
    """The scene in a style

    Two shapes of one name become equal. They keep their relation, which the reader reads, too.
    """
    shapes = tuple(Shape(shape.name, style.colour) for shape in scene.shapes)
    return dataclasses.replace(scene, background=style.paper, shapes=shapes)


def styled_poster(style: Style, seed: int, unseen: bool | None = False):
    """-> scene, picture (128, 128, 3) uint8, caption; only the picture is in the style

    Scene and caption are those of `draw.poster` for this seed.
    """
    scene = sample_scene(seed, unseen)
    return scene, draw(styled(style, scene), seed), reworded(scene, f"{seed} 0")


def judge(style: Style, scene: Scene, picture: np.ndarray | Image.Image) -> dict[str, bool]:
    """A picture that was asked to show a scene in a style -> what is right

    paper: it is the style's. colour: there are shapes, and all have the style's. style: both.
    scene: number, names, places and word are as asked, whatever the colours and the paper.
    """
    seen = read(picture).scene
    paper = seen.background == style.paper
    colour = bool(seen.shapes) and all(shape.colour == style.colour for shape in seen.shapes)
    right = score(styled(style, scene), picture)
    otherwise = all(right[key] for key in ("count", "shapes", "layout", "word"))
    return {"paper": paper, "colour": colour, "style": paper and colour, "scene": otherwise}

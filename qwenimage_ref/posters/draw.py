"""The posters world: a scene becomes a picture and a caption, in English or Chinese."""

import functools
import importlib.util
import math
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE = 128  # pixels
SHAPES = {
    "circle": "圆形",
    "square": "方形",
    "triangle": "三角形",
    "star": "星形",
    "diamond": "菱形",
    "ring": "圆环",
}
COLOURS = {
    "red": ("红色", (220, 40, 40)),
    "green": ("绿色", (40, 160, 60)),
    "blue": ("蓝色", (50, 80, 220)),
    "yellow": ("黄色", (240, 210, 40)),
    "purple": ("紫色", (140, 60, 180)),
    "orange": ("橙色", (245, 140, 30)),
    "black": ("黑色", (25, 25, 25)),
    "pink": ("粉色", (245, 130, 180)),
}
BACKGROUNDS = {
    "white": ("白色", (250, 250, 250)),
    "gray": ("灰色", (150, 150, 150)),
    "beige": ("米色", (240, 225, 195)),
    "sky": ("天蓝色", (160, 210, 245)),
    "navy": ("深蓝色", (20, 30, 80)),
    "mint": ("薄荷色", (180, 235, 205)),
}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
PLACES = ("large", "small left", "small centre", "small right")  # of a single shape
RELATIONS = ("left of", "above")  # of the first shape to the second

# Never drawn for training: whether the model can compose is measured on these.
UNSEEN_PAIRS = {
    ("purple", "star"),
    ("green", "diamond"),
    ("orange", "ring"),
    ("pink", "triangle"),
    ("blue", "square"),
    ("yellow", "circle"),
}
UNSEEN_ORDERS = {("circle", "triangle"), ("ring", "star"), ("diamond", "square")}


@dataclass(frozen=True)
class Shape:
    name: str  # a key of SHAPES
    colour: str  # a key of COLOURS


@dataclass(frozen=True)
class Scene:
    """What a caption says and a picture shows; two pictures of one scene differ by jitter only."""

    background: str  # a key of BACKGROUNDS
    shapes: tuple[Shape, ...]  # one or two
    layout: str  # one of PLACES for one shape, of RELATIONS for two
    word: str = ""  # one to four of LETTERS, or none

    @property
    def unseen(self) -> bool:
        """True if the scene holds a combination that training never shows."""
        names = tuple(shape.name for shape in self.shapes)
        pairs = {(shape.colour, shape.name) for shape in self.shapes}
        return names in UNSEEN_ORDERS or bool(pairs & UNSEEN_PAIRS)


def sample_scene(
    seed: int, unseen: bool | None = False, word_share: float = 0.5, lengths=(1, 2, 3, 4)
) -> Scene:
    """A random scene. `unseen` False: as in training; True: never trained; None: either.

    lengths: of words, in characters, to draw from; one that is named twice comes twice as often.
    """
    rng = random.Random(seed)
    while True:
        count = rng.choice((1, 2))
        colours = rng.sample(list(COLOURS), count)
        shapes = tuple(Shape(rng.choice(list(SHAPES)), colour) for colour in colours)
        layout = rng.choice(PLACES if count == 1 else RELATIONS)
        length = rng.choice(lengths) if rng.random() < word_share else 0
        word = "".join(rng.choice(LETTERS) for _ in range(length))
        scene = Scene(rng.choice(list(BACKGROUNDS)), shapes, layout, word)
        if unseen is None or scene.unseen == unseen:
            return scene


# --- captions

_ENGLISH_PLACE = {
    "large": ("a large {}",),
    "small left": ("a small {} on the left", "a small {} at the left side"),
    "small centre": ("a small {} in the center", "a small {} in the middle"),
    "small right": ("a small {} on the right", "a small {} at the right side"),
}
_ENGLISH_RELATION = {
    "left of": ("a {} left of a {}", "a {} to the left of a {}", "a {} with a {} on its right"),
    "above": ("a {} above a {}", "a {} on top of a {}", "a {} over a {}"),
}
_ENGLISH_REVERSED = {
    "left of": ("a {} right of a {}", "a {} to the right of a {}"),
    "above": ("a {} below a {}", "a {} under a {}"),
}
_CHINESE_PLACE = {
    "large": ("一个大的{}", "大{}"),
    "small left": ("左边一个小的{}", "一个小的{}在左边"),
    "small centre": ("中间一个小的{}", "一个小的{}在中间"),
    "small right": ("右边一个小的{}", "一个小的{}在右边"),
}
_CHINESE_RELATION = {
    "left of": ("{}在{}的左边", "{}在{}左侧"),
    "above": ("{}在{}的上面", "{}在{}上方"),
}
_CHINESE_REVERSED = {
    "left of": ("{}在{}的右边", "{}在{}右侧"),
    "above": ("{}在{}的下面", "{}在{}下方"),
}


def caption(scene: Scene, language: str = "en", seed: int | str | None = None) -> str:
    """The scene in words. Without a seed the plainest wording, with one a random wording."""
    rng = random.Random(seed) if seed is not None else None
    if language not in ("en", "zh"):
        raise ValueError(f"language {language!r} is not en or zh")
    chinese = language == "zh"
    names = [_name(shape, chinese) for shape in scene.shapes]
    if len(names) == 1:
        wordings = (_CHINESE_PLACE if chinese else _ENGLISH_PLACE)[scene.layout]
    else:
        wordings = (_CHINESE_RELATION if chinese else _ENGLISH_RELATION)[scene.layout]
        if rng and rng.random() < 0.3:  # the same scene told from the second shape
            wordings = (_CHINESE_REVERSED if chinese else _ENGLISH_REVERSED)[scene.layout]
            names.reverse()
    shapes = (rng.choice(wordings) if rng else wordings[0]).format(*names)
    if chinese:
        text = f"，文字“{scene.word}”" if scene.word else ""
        return f"{BACKGROUNDS[scene.background][0]}背景上，{shapes}{text}"
    shapes = shapes.replace("a orange", "an orange")
    text = f' with the text "{scene.word}"' if scene.word else ""
    return f"{shapes} on a {scene.background} background{text}"


def _name(shape: Shape, chinese: bool) -> str:
    if chinese:
        return COLOURS[shape.colour][0] + SHAPES[shape.name]
    return f"{shape.colour} {shape.name}"


# --- pictures

SUPER = 4  # drawn this many times larger, then averaged down


def draw(scene: Scene, seed: int = 0) -> np.ndarray:
    """Scene -> (128, 128, 3) uint8 RGB. The seed moves and scales the shapes by a few per cent."""
    rng = random.Random(seed)
    canvas = Image.new("RGB", (SIDE * SUPER,) * 2, BACKGROUNDS[scene.background][1])
    pen = ImageDraw.Draw(canvas)
    for shape, (x, y, radius) in zip(scene.shapes, _places(scene)):
        x, y = x + rng.uniform(-4, 4), y + rng.uniform(-4, 4)
        draw_shape(pen, shape, x, y, radius * rng.uniform(0.94, 1.06), scene.background)
    if scene.word:
        x, y = 64 + rng.uniform(-2, 2), 107 + rng.uniform(-2, 2)
        ink = (250, 250, 250) if scene.background == "navy" else (20, 20, 20)
        pen.text((x * SUPER, y * SUPER), scene.word, ink, font(26 * SUPER), anchor="mm")
    return np.asarray(canvas.reduce(SUPER))


def _places(scene: Scene) -> list[tuple[float, float, float]]:
    """Centre and radius of each shape in pixels; a word takes the bottom third."""
    middle = 48 if scene.word else 64
    if scene.layout == "left of":
        return [(34, middle, 23), (94, middle, 23)]
    if scene.layout == "above":
        return [(64, 23, 16), (64, 69, 16)] if scene.word else [(64, 33, 23), (64, 95, 23)]
    if scene.layout == "large":
        return [(64, middle, 35)]
    x = {"small left": 30, "small centre": 64, "small right": 98}[scene.layout]
    return [(x, middle, 17)]


def outline(name: str, x: float, y: float, radius: float) -> list[tuple[float, float]]:
    """Corners of a shape in pixels; circle and ring are drawn by their box instead."""
    if name == "square":
        r = radius * 0.88
        return [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
    if name == "diamond":
        return [(x, y - 1.1 * radius), (x + 0.8 * radius, y), (x, y + 1.1 * radius),
                (x - 0.8 * radius, y)]  # fmt: skip
    if name == "triangle":
        return [(x, y - radius), (x + radius, y + 0.8 * radius), (x - radius, y + 0.8 * radius)]
    tips = 5  # star: long and short radius in turn, first tip upwards
    corners = []
    for i in range(2 * tips):
        angle, r = math.pi * i / tips, 1.1 * radius * (1 if i % 2 == 0 else 0.42)
        corners.append((x + r * math.sin(angle), y - r * math.cos(angle)))
    return corners


def draw_shape(pen, shape: Shape, x: float, y: float, radius: float, background: str) -> None:
    ink = COLOURS[shape.colour][1]
    s = SUPER
    if shape.name in ("circle", "ring"):
        pen.ellipse([(x - radius) * s, (y - radius) * s, (x + radius) * s, (y + radius) * s], ink)
        if shape.name == "ring":
            hole = 0.6 * radius
            box = [(x - hole) * s, (y - hole) * s, (x + hole) * s, (y + hole) * s]
            pen.ellipse(box, BACKGROUNDS[background][1])
    else:
        pen.polygon([(a * s, b * s) for a, b in outline(shape.name, x, y, radius)], ink)


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans Bold, which matplotlib carries."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None:
        raise RuntimeError("drawing a word needs the font of matplotlib: pip install matplotlib")
    file = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(file), size)


def poster(seed: int, unseen: bool | None = False, word_share: float = 0.5):
    """seed -> scene, picture (128, 128, 3) uint8, caption: a third of the captions are Chinese."""
    scene = sample_scene(seed, unseen, word_share)
    return scene, draw(scene, seed), reworded(scene, f"{seed} 0")


def reworded(scene: Scene, seed: int | str) -> str:
    """The scene in a random language and wording."""
    language = "zh" if random.Random(f"language {seed}").random() < 1 / 3 else "en"
    return caption(scene, language, f"wording {seed}")


_LOOSE = (
    ("gray", "grey"),
    ("a large ", "a big "),
    ("in the center", "in the centre"),
    ("一个大的", "一个大"),
    ("一个小的", "一个小"),
    ("的上面", "的上方"),
    ("的下面", "的下方"),
)


def loosened(text: str, seed: int | str) -> str:
    """A caption as people type it: another common word, a capital at the start, a full stop."""
    rng = random.Random(f"loosened {seed}")
    for plain, other in _LOOSE:
        if rng.random() < 0.3:
            text = text.replace(plain, other)
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.2:
        text += "。" if "背景" in text else "."
    return text

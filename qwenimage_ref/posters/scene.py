"""What a poster can show: the scenes of both editions, and random ones of either.

The first edition has square posters of one or two shapes with a word in Latin letters. The second
adds six other sizes, two to four equal shapes, and Chinese characters; it contains the first.
"""

import random
from dataclasses import dataclass

from .strokes import LEVELS
from .writing import EDGE, LETTERS, widest, width

SIDE = 128  # pixels, of the square poster
SQUARE = (SIDE, SIDE)
# width and height of the second edition's posters, 60 to 70 tokens each, as the releases have seven
SIZES = (SQUARE, (176, 96), (96, 176), (144, 112), (112, 144), (160, 112), (112, 160))
SMALL = (96, 96)  # pixels in the first phase of its training
LOW = 112  # pixels; a lower poster has no room for two shapes, one above the other, and a word
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
PLACES = ("large", "small left", "small centre", "small right")  # for a single shape
RELATIONS = ("left of", "above")  # relations of the first shape to the second
SEVERAL = "several"  # the layout of two to four equal shapes, in a row, a column or a grid
COUNTS = (2, 3, 4)

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
UNSEEN_COUNTS = {(2, "diamond"), (3, "ring"), (3, "square"), (4, "star"), (4, "triangle")}
UNSEEN_PAPERS = {("中", "navy"), ("木", "beige"), ("下", "sky"), ("王", "mint")}


@dataclass(frozen=True)
class Shape:
    name: str  # a key of SHAPES
    colour: str  # a key of COLOURS


@dataclass(frozen=True)
class Scene:
    """What a caption says and a picture shows; two pictures of one scene differ by jitter only."""

    background: str  # a key of BACKGROUNDS
    shapes: tuple[Shape, ...]  # one, two, or two to four equal ones
    layout: str  # one of PLACES for one shape, of RELATIONS for two, SEVERAL for equal ones
    word: str = ""  # one to four of LETTERS, or one to three Chinese characters, or none
    size: tuple[int, int] = SQUARE  # width and height in pixels; no caption mentions it

    @property
    def unseen(self) -> bool:
        """True if the scene holds a combination that training never shows."""
        names = tuple(shape.name for shape in self.shapes)
        pairs = {(shape.colour, shape.name) for shape in self.shapes}
        if self.layout == SEVERAL and (len(names), names[0]) in UNSEEN_COUNTS:
            return True
        papers = {(character, self.background) for character in self.word}
        return names in UNSEEN_ORDERS or bool(pairs & UNSEEN_PAIRS) or bool(papers & UNSEEN_PAPERS)


def sample_scene(
    seed: int, unseen: bool | None = False, word_share: float = 0.5, lengths=(1, 2, 3, 4)
) -> Scene:
    """A random scene of the first edition.

    unseen: False: as in training; True: never trained; None: either.
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


@dataclass(frozen=True)
class Mixture:
    """What random scenes of the second edition are made of; a tuple is drawn from evenly."""

    sizes: tuple[tuple[int, int], ...] = SIZES
    counting: float = 0.25  # share of the scenes that show equal shapes
    words: float = 0.5  # share with a word
    chinese: float = 0.4  # share of the words in Chinese characters
    lengths: tuple[int, ...] = (1, 2, 3, 4)  # letters in a word
    characters: tuple[int, ...] = (1, 2, 3)  # Chinese characters in a word
    levels: tuple[float, ...] = (1.0, 1.0, 1.0)  # how often a character of each level comes
    # the only dark background is drawn twice: light ink is a lesson of its own
    backgrounds: tuple[str, ...] = (*BACKGROUNDS, "navy")


EVENLY = Mixture(backgrounds=tuple(BACKGROUNDS))  # what is measured on


def sample(
    seed: int | str,
    mixture: Mixture = EVENLY,
    unseen: bool | None = False,
    size: tuple[int, int] | None = None,
) -> Scene:
    """A random scene of the second edition; `unseen` as above, `size` one of its own choice."""
    rng = random.Random(f"second edition {seed}")
    while True:
        shapes, layout = _shapes(rng, mixture.counting)
        chosen = size or rng.choice(mixture.sizes)
        word = random_word(rng, mixture, chosen[0]) if rng.random() < mixture.words else ""
        if layout == "above" and chosen[1] < LOW:
            word = ""
        scene = Scene(rng.choice(mixture.backgrounds), shapes, layout, word, chosen)
        if unseen is None or scene.unseen == unseen:
            return scene


def _shapes(rng: random.Random, counting: float) -> tuple[tuple[Shape, ...], str]:
    if rng.random() < counting:
        shape = Shape(rng.choice(list(SHAPES)), rng.choice(list(COLOURS)))
        return (shape,) * rng.choice(COUNTS), SEVERAL
    colours = rng.sample(list(COLOURS), rng.choice((1, 2)))
    shapes = tuple(Shape(rng.choice(list(SHAPES)), colour) for colour in colours)
    return shapes, rng.choice(PLACES if len(shapes) == 1 else RELATIONS)


def random_word(rng: random.Random, mixture: Mixture, room: int) -> str:
    """A word that is at most `room` pixels wide with its margins: four W's are wider than 96."""
    while True:
        if rng.random() < mixture.chinese:
            levels = rng.choices(LEVELS, mixture.levels, k=rng.choice(mixture.characters))
            word = "".join(rng.choice(level) for level in levels)
        else:
            word = "".join(rng.choice(LETTERS) for _ in range(rng.choice(mixture.lengths)))
        free = room - 2 * EDGE
        if len(word) * widest() <= free or width(word) <= free:
            return word

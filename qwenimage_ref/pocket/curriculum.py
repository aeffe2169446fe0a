"""How the second edition is trained: three phases, from small and wordless to all there is.

The report's curriculum has the same three directions: from small pictures to large ones, from
pictures without words to pictures full of them, and from short words to long ones in two scripts.
CONTROL spends the same compute on the last phase's mixture alone.
"""

import dataclasses
import random
from dataclasses import dataclass

import numpy as np

from ..posters.captions import loosened, reworded, without_background
from ..posters.draw import draw
from ..posters.scene import SIZES, SMALL, SQUARE, Mixture, Scene, sample
from ..posters.strokes import CHARACTERS
from ..posters.writing import LETTERS
from ..train.loop import Recipe
from .lessons import Lesson, World

TOKENS = 768  # of the tokenizer: the first edition's words, numbers, and 24 Chinese characters
FREQUENCY = (1.0, 0.1, 0.01)  # how often a Chinese character of each level is trained on
UNSAID = 0.04  # share of the captions that leave the background to the painter

MIXTURES = {
    "shapes": Mixture(sizes=(SMALL,), words=0.0),
    "words": Mixture(sizes=(SQUARE,), words=0.75, chinese=0.0, lengths=(1, 2)),
    "everything": Mixture(
        words=0.85,
        chinese=0.45,
        lengths=(1, 2, 3, 3, 4, 4),
        characters=(1, 2, 2, 3, 3),
        levels=FREQUENCY,
    ),
}


@dataclass(frozen=True)
class SecondWorld(World):
    """The second edition's posters; every Chinese character is equally frequent here."""

    sizes: tuple[tuple[int, int], ...] = SIZES
    origin: str = "second edition"
    mixture: Mixture = Mixture(words=0.8, chinese=0.5)

    def picture(self, seed: int, size: tuple[int, int] | None = None) -> np.ndarray:
        return draw(sample(seed, self.mixture, size=size), seed)


SECOND = SecondWorld()
SECOND_VAE = Recipe(steps=4000, batch=16, lr=5e-4, decay_from=0.3, betas=(0.9, 0.99), ema=0.998)

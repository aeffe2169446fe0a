"""The painter's lessons: their posters, the wording of their captions, their recipes."""

import functools
from dataclasses import dataclass

import numpy as np

from ..posters.draw import loosened, poster, reworded
from ..posters.scene import SQUARE, Scene, sample_scene
from ..train.loop import Recipe

WORD_SHARE = 0.7  # share of the training posters; spelling takes longest


@dataclass(frozen=True)
class World:
    """The posters that tokenizer and VAE are trained and measured on: the first edition's."""

    sizes: tuple[tuple[int, int], ...] = (SQUARE,)
    origin: str = ""  # stored in training states; a state of another world is refused

    def picture(self, seed: int, size: tuple[int, int] | None = None) -> np.ndarray:
        """-> (H, W, 3) uint8 of the asked width and height, or of any of `sizes`"""
        return poster(seed, word_share=WORD_SHARE)[1]

    def captions(self, count: int) -> list[str]:
        """What the tokenizer is trained on."""
        return [poster(seed, word_share=WORD_SHARE)[2] for seed in range(count)]


FIRST = World()


@dataclass(frozen=True)
class Lesson:
    """Posters, captions and recipe of one part of the training; the next part continues from it."""

    recipe: Recipe
    first: int  # number of its first poster
    word_share: float = WORD_SHARE
    lengths: tuple[int, ...] = (1, 2, 3, 4)  # letters in a word
    loose: bool = False  # captions as people type them: capitals, full stops, "grey"
    posters: int = 32_768  # distinct pictures; their captions are worded anew in every epoch

    def place(self, number: int) -> int:
        """Number of a poster, counted on and on -> its place among the lesson's posters"""
        return number % self.posters

    def scene(self, number: int) -> Scene:
        """Number of a poster, counted on and on -> its scene"""
        seed = self.first + self.place(number)
        return sample_scene(seed, word_share=self.word_share, lengths=self.lengths)

    def scenes(self) -> frozenset[Scene]:
        """The scenes of all its posters."""
        return frozenset(self.scene(number) for number in range(self.posters))

    def prompt(self, number: int) -> str:
        """The poster's caption in the words of this epoch"""
        worded = f"{self.first + self.place(number)} {number // self.posters}"
        text = reworded(self.scene(number), worded)
        return loosened(text, worded) if self.loose else text


LESSONS = {
    "painter": Lesson(
        Recipe(steps=2900, batch=64, lr=1e-3, muon_lr=2e-3, decay_from=0.35, ema=0.995), first=0
    ),
    # words arrive last, and the long ones last of all
    "speller": Lesson(
        Recipe(steps=2800, batch=64, lr=7e-4, muon_lr=1.5e-3, decay_from=0.1, ema=0.995, seed=1),
        first=1_024_000,
        word_share=0.85,
        lengths=(1, 2, 3, 3, 4, 4),
        loose=True,
    ),
}


@functools.cache
def trained_scenes() -> frozenset[Scene]:
    """Every scene in the painter's training pictures."""
    return frozenset().union(*(lesson.scenes() for lesson in LESSONS.values()))

"""How the second edition is trained: three phases, from small and wordless to all there is.

The report's curriculum has the same three directions: from small pictures to large ones, from
pictures without words to pictures full of them, and from short words to long ones in two scripts.
CONTROL spends the same compute on the last phase's mixture alone.
"""

import dataclasses
import functools
import random
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..posters.captions import loosened, reworded, without_background
from ..posters.draw import draw
from ..posters.scene import SIZES, SMALL, SQUARE, Mixture, Scene, sample
from ..train.loop import Recipe
from .lessons import Lesson, World

TOKENS = 704  # the tokenizer's vocabulary: fewer leave the rarest Chinese characters in pieces
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

    def captions(self, count: int) -> list[str]:
        """Captions whose words have a single letter or character.

        No two letters are ever neighbours in them, so that none become one token and every word is
        spelled; all characters are equally frequent, or the rare ones would be three tokens each.
        """
        mixture = Mixture(words=1.0, lengths=(1,), characters=(1,))
        scenes = [sample(f"tokenizer {seed}", mixture) for seed in range(count)]
        texts = [reworded(scene, seed, edition=2) for seed, scene in enumerate(scenes)]
        return [loosened(text, seed) for seed, text in enumerate(texts)]


SECOND = SecondWorld()
SECOND_VAE = Recipe(steps=4000, batch=16, lr=5e-4, decay_from=0.3, betas=(0.9, 0.99), ema=0.998)


@dataclass(frozen=True)
class Phase(Lesson):
    """A lesson of the second edition. The posters of a batch have one size, drawn anew for each."""

    mixture: Mixture = Mixture()

    def size(self, number: int) -> tuple[int, int]:
        """Number of a poster, counted on and on -> its width and height in pixels"""
        block = self.place(number) // self.recipe.batch
        return _size_of_block(self.first, block, self.mixture.sizes)

    def scene(self, number: int) -> Scene:
        seed = self.first + self.place(number)
        return sample(seed, self.mixture, size=self.size(number))

    def prompt(self, number: int) -> str:
        worded = f"{self.first + self.place(number)} {number // self.posters}"
        text = loosened(reworded(self.scene(number), worded, edition=2), worded)
        unsaid = random.Random(f"unsaid {worded}").random() < UNSAID
        return without_background(text) if unsaid else text


@functools.lru_cache(maxsize=4096)
def _size_of_block(first: int, block: int, sizes: tuple) -> tuple[int, int]:
    return random.Random(f"size {first} {block}").choice(sizes)


def _phase(name: str, first: int, posters: int, **recipe) -> Phase:
    recipe = Recipe(batch=64, ema=0.995, lr=1e-3, muon_lr=2e-3, **recipe)
    return Phase(recipe, first, posters=posters, mixture=MIXTURES[name])


# only the last phase lets its rates fall: the others hand on a painter that still moves
PHASES = {
    "shapes": _phase("shapes", 4_000_000, 32_768, steps=1500, decay_from=1.0),
    "words": _phase("words", 4_100_000, 32_768, steps=2500, decay_from=1.0, seed=1),
    "everything": _phase("everything", 4_200_000, 65_536, steps=5500, decay_from=0.3, seed=2),
}
TEXT_TOKENS = 32  # padded length of a caption, less the template's prefix


def work(phase: Phase, steps: int | None = None) -> float:
    """Tokens that pass through the transformer in a phase, or in so many steps of its mixture."""
    sizes = phase.mixture.sizes
    image = sum(width * height // 256 for width, height in sizes) / len(sizes)
    return (steps or phase.recipe.steps) * phase.recipe.batch * (image + TEXT_TOKENS)


def control(phases: Mapping[str, Phase]) -> Phase:
    """The last phase for as much work as all of them, and on as many distinct posters."""
    last = list(phases.values())[-1]
    steps = round(sum(map(work, phases.values())) / work(last, 1))
    # the rate is constant for as long as the phases keep it so
    constant = 1 - (1 - last.recipe.decay_from) * last.recipe.steps / steps
    recipe = dataclasses.replace(last.recipe, steps=steps, decay_from=round(constant, 3), seed=0)
    posters = sum(phase.posters for phase in phases.values())
    return dataclasses.replace(last, recipe=recipe, posters=posters)


def shortened(phases: Mapping[str, Phase], share: int) -> dict[str, Phase]:
    """The same phases with steps, warm-up and distinct posters divided by `share`"""
    return {name: _shorter(phase, share) for name, phase in phases.items()}


def _shorter(phase: Phase, share: int) -> Phase:
    recipe = phase.recipe
    steps, warmup = (max(1, n // share) for n in (recipe.steps, recipe.warmup))
    posters = max(1, phase.posters // share // recipe.batch) * recipe.batch  # whole batches
    recipe = dataclasses.replace(recipe, steps=steps, warmup=warmup)
    return dataclasses.replace(phase, recipe=recipe, posters=posters)


CONTROL = {"control": control(PHASES)}


@functools.cache
def trained_scenes(phases: tuple[Phase, ...] = tuple(PHASES.values())) -> frozenset[Scene]:
    """Every scene that the phases' posters show, in whichever size, as if it were square."""
    longest = {}  # phases, one of those that begin with the same posters
    for phase in sorted(phases, key=lambda phase: phase.posters):
        longest[phase.first, phase.mixture, phase.recipe.batch] = phase
    scenes = frozenset().union(*(phase.scenes() for phase in longest.values()))
    return frozenset(dataclasses.replace(scene, size=SQUARE) for scene in scenes)

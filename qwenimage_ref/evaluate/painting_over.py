"""A poster painted over: is the wish obeyed, and is the rest of the poster still there?

python -m qwenimage_ref.evaluate.painting_over     takes minutes; resumes if interrupted

Each poster of two shapes and a word is given a wish that changes one thing, the second shape or the
word, and is painted over as a whole and under a mask, at several strengths. The answers, poster by
poster, are written to data/measurements/painting_over.json.
"""

import random
import sys
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw

from ..posters.draw import (
    COLOURS,
    SHAPES,
    SIDE,
    WORD_ROWS,
    Scene,
    Shape,
    caption,
    draw,
    sample_scene,
)
from ..posters.read import Reading, read
from ..provenance import write_record
from ..repository import MEASUREMENTS, in_a_clone
from .intervals import interval
from .survey import Progress, survey_command, terms_of

RECORD = MEASUREMENTS / "painting_over.json"
FIRST_SEED = 50_000_000  # number at which the search for posters begins; no training has it
STRENGTHS = {"shape": (0.2, 0.4, 0.6, 0.8, 0.9, 1.0), "word": (0.4, 0.6, 0.8, 1.0)}
STEPS = 20
BATCH = 8  # pictures painted at a time
NEAR = 3  # pixels that a shape may move and still be where it was


@dataclass(frozen=True)
class Wish:
    """A poster and what is wished in its place; the two differ in `part` and in nothing else."""

    start: Scene
    wish: Scene
    part: str  # shape: the second one; word
    seed: int  # seed of the drawing's jitter and of the noise

    @property
    def poster(self) -> Image.Image:
        return Image.fromarray(draw(self.start, self.seed))

    @property
    def prompt(self) -> str:
        return caption(self.wish)


def wishes(count: int, part: str) -> list[Wish]:
    """Posters with two shapes side by side and a word of two letters, and a wish for each."""
    wanted, seed = [], FIRST_SEED
    while len(wanted) < count:
        seed += 1
        start = sample_scene(seed, word_share=1, lengths=(2,))
        if start.layout == "left of":
            wanted.append(Wish(start, _changed(start, part, random.Random(seed)), part, seed))
    return wanted


def _changed(scene: Scene, part: str, rng: random.Random) -> Scene:
    if part == "word":
        return replace(scene, word=scene.word[::-1] if len(set(scene.word)) > 1 else "OK")
    first, second = scene.shapes
    colour = rng.choice([c for c in COLOURS if c not in (first.colour, second.colour)])
    name = rng.choice([n for n in SHAPES if n != second.name])
    return replace(scene, shapes=(first, Shape(name, colour)))


def mask_of(part: str) -> Image.Image:
    """White over the part of a poster that a wish changes."""
    mask = Image.new("L", (SIDE, SIDE))
    top = SIDE - WORD_ROWS
    box = (0, top, SIDE, SIDE) if part == "word" else (SIDE // 2, 0, SIDE, top - 1)
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    return mask


def paint(pipe, wanted: list[Wish], strength: float, masked: bool, **options) -> list[Image.Image]:
    """The posters painted over; options: further ones of the pipeline."""
    pictures = []
    for first in range(0, len(wanted), BATCH):
        batch = wanted[first : first + BATCH]
        pictures += pipe(
            [each.prompt for each in batch],
            " ",
            num_inference_steps=STEPS,
            seed=[each.seed for each in batch],
            image=[each.poster for each in batch],
            mask_image=mask_of(batch[0].part) if masked else None,
            strength=strength,
            **options,
        )
    return pictures


def obeyed(wanted: Wish, picture: Image.Image) -> bool:
    """Whether the reader finds what was wished, the changed part alone."""
    scene = read(picture).scene
    if wanted.part == "word":
        return scene.word == wanted.wish.word
    return wanted.wish.shapes[1] in scene.shapes[1:]


def kept(wanted: Wish, picture: Image.Image) -> bool:
    """Whether all else is as in the poster: paper, word, the other shapes where they were."""
    before, after = read(wanted.poster), read(picture)
    same = before.scene.background == after.scene.background
    if wanted.part == "shape":
        return same and before.scene.word == after.scene.word and _stays(before, after, 0)
    return same and all(_stays(before, after, i) for i in (0, 1))


def _stays(before: Reading, after: Reading, number: int) -> bool:
    old = before.regions[number]
    return any(
        (new.name, new.colour) == (old.name, old.colour)
        and abs(new.x - old.x) <= NEAR
        and abs(new.y - old.y) <= NEAR
        and abs(new.radius - old.radius) <= NEAR
        for new in after.regions
    )


def bits(answers) -> str:
    return "".join("01"[answer] for answer in answers)


def measure(pipe, wanted: list[Wish], strength: float, masked: bool) -> dict:
    """The record's entry for one setting: answers poster by poster."""
    pictures = paint(pipe, wanted, strength, masked)
    return {
        "obeyed": bits(map(obeyed, wanted, pictures)),
        "kept": bits(map(kept, wanted, pictures)),
    }


def share(answers: str) -> dict:
    return interval(answers.count("1"), len(answers))


def name_of(part: str, masked: bool, strength: float) -> str:
    return f"{part}, {'masked' if masked else 'whole'}, strength {strength}"


def terms(pipe, captions: int) -> dict:
    return terms_of(pipe, captions)


def survey(pipe, captions: int, file) -> dict:
    """Measure every setting and write the record to `file`. Returns the record."""
    progress = Progress(file, terms(pipe, captions))
    for part, strengths in STRENGTHS.items():
        wanted = wishes(captions, part)
        for masked in (False, True):
            for strength in strengths:
                name = name_of(part, masked, strength)
                progress.measure(name, measure, pipe, wanted, strength, masked)
    write_record(progress.results, file)
    progress.file.unlink()
    return progress.results


@in_a_clone
def main(arguments: list[str] | None = None) -> int:
    return survey_command("painting_over", 48, RECORD, terms, survey, arguments)


if __name__ == "__main__":
    sys.exit(main())

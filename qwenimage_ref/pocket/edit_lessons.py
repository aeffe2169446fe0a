"""What the pocket editors are trained on: lessons, and their examples in batches."""

import dataclasses
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..conditions import PAD, edit_ids, places_in_text
from ..pictures import to_input
from ..pipeline import QwenImage
from ..posters.edits import SINGLE, edit, edit_of_several
from ..posters.scene import SQUARE, Mixture
from ..posters.understanding import question
from ..tasks.edit import encoded_copies, read_copies
from ..train.flow import sample_sigma
from ..train.loop import Recipe
from ..vision import preprocess
from .kept import Chunks
from .train import CAPTION_DROPOUT, SIGMA_SHIFT

EDIT, EDIT_PLUS = "QwenImageEditPipeline", "QwenImageEditPlusPipeline"
CHUNK = 256  # examples whose latents are stored together
PADDED = 16  # tokens: prompts are padded to a multiple of it


@dataclass(frozen=True)
class EditLesson:
    """What an editor is trained on."""

    recipe: Recipe
    first: int = 0  # number of its first example
    examples: int = 16_384
    pipeline: str = EDIT  # upstream's class
    after: str = ""  # the lesson whose editor is trained further, by default the painter
    zero_cond_t: bool = False  # Edit-2511: pictures are at time zero
    paths: tuple[str, ...] = ("vision", "vae")  # on which it sees the pictures
    questions: float = 0.2  # share of the batches that ask for masks, depth, edges, mirrors
    several: float = 0.0  # share with instructions for two or three pictures
    kinds: tuple[str, ...] = tuple(SINGLE)  # instructions for one; often named is often asked
    kinds_of_two: tuple[str, ...] = ("colour of 2", "word of 2")
    shift: float = SIGMA_SHIFT  # shift of the noise levels
    mixture: Mixture = field(default_factory=lambda: Mixture(sizes=(SQUARE,), words=0.6))

    def kind(self, step: int) -> str:
        """What a batch asks for; all of a batch have as many pictures: several 2, several 3"""
        draw = random.Random(f"kind {self.first} {step % self.batches}").random()
        if draw < self.questions:
            return "question"
        if draw < self.questions + self.several:
            return "several 3" if draw < self.questions + self.several / 3 else "several 2"
        return "edit"

    @property
    def batches(self) -> int:
        """Number of distinct batches"""
        return self.examples // self.recipe.batch

    def example(self, number: int):
        """Number of an example, counted on and on -> an Edit or a Question"""
        place = number % (self.batches * self.recipe.batch)
        step, seed = place // self.recipe.batch, self.first + place
        size = random.Random(f"size {self.first} {step}").choice(self.mixture.sizes)
        mixture = dataclasses.replace(self.mixture, sizes=(size,))
        kind = self.kind(step)
        if kind == "question":
            return question(seed, mixture=mixture)
        if kind == "edit":
            return edit(seed, self.kinds, mixture)
        of_three = ("word of 2, background of 3",)
        kinds = self.kinds_of_two if kind == "several 2" else of_three
        return edit_of_several(seed, kinds, mixture)


_RECIPE = Recipe(steps=1400, batch=32, lr=6e-4, muon_lr=1.2e-3, decay_from=0.3, ema=0.995)
_SECOND = dataclasses.replace(_RECIPE, steps=700)
_ARM = dataclasses.replace(_RECIPE, steps=200, lr=3e-4, muon_lr=6e-4)  # alike for all three
_FURTHER = {"first": 2_000_000, "examples": 21_600, "after": "edit"}
_PLUS = {
    "pipeline": EDIT_PLUS,
    "several": 0.35,
    "questions": 0.15,
    "first": 1_000_000,
    "after": "edit-further",
}
LESSONS = {
    "edit": EditLesson(_RECIPE),
    # other examples, and as many steps again
    "edit-further": EditLesson(dataclasses.replace(_RECIPE, steps=1350), **_FURTHER),
    # other examples again, with more of the kinds that fail most often
    "edit-weak-kinds": EditLesson(
        dataclasses.replace(_RECIPE, steps=1350),
        first=5_000_000,
        examples=21_600,
        after="edit-further",
        kinds=(*SINGLE, "word", "word", "remove", "background"),
    ),
    # what each path is worth: three trainings that differ in nothing else
    "edit-both-paths": EditLesson(_ARM, **_FURTHER),
    "edit-vision-only": EditLesson(_ARM, paths=("vision",), **_FURTHER),
    "edit-vae-only": EditLesson(_ARM, paths=("vae",), **_FURTHER),
    # upstream, too, the releases for several pictures come from the one for a single picture
    "edit-2509": EditLesson(_SECOND, **_PLUS),
    "edit-2511": EditLesson(_SECOND, zero_cond_t=True, **_PLUS),
    # mostly instructions for two and three pictures, which 700 steps with a third of them do not
    # teach; a level below 0.8 shows which picture is changed, and the number is not needed
    "edit-2509-further": EditLesson(
        dataclasses.replace(_RECIPE, steps=1300, batch=16),
        pipeline=EDIT_PLUS,
        shift=5.0,
        several=0.8,
        questions=0.0,
        first=4_000_000,
        examples=12_288,
        after="edit-2509",
        kinds_of_two=("colour of 2", "word of 2", "background of 2"),
    ),
}


class Latents:
    """Normalised latents of the wanted posters and of the pictures, kept in a folder by chunks"""

    def __init__(self, pipe: QwenImage, lesson: EditLesson, folder: Path):
        self.pipe, self.lesson, self.chunks = pipe, lesson, Chunks(folder, self._chunk)

    def __getitem__(self, number: int) -> list[torch.Tensor]:
        """Number of an example -> latents (16, h, w): the wanted poster's, then each picture's"""
        place = number % (self.lesson.batches * self.lesson.recipe.batch)
        chunk = self.chunks[place // CHUNK]
        names = [f"{place % CHUNK} {i}" for i in range(4)]
        return [chunk[name].float() for name in names if name in chunk]

    def _chunk(self, i: int) -> dict[str, torch.Tensor]:
        return {
            f"{j} {n}": latents.bfloat16().contiguous()
            for j in range(CHUNK)
            for n, latents in enumerate(self._encoded(i * CHUNK + j))
        }

    @torch.no_grad()
    def _encoded(self, number: int) -> list[torch.Tensor]:
        asked = self.lesson.example(number)
        copies = encoded_copies(self.pipe, [Image.fromarray(each) for each in pictures(asked)])
        every = [Image.fromarray(asked.wanted.copy()), *copies]
        if len({each.size for each in every}) == 1:
            return list(self._normalised(every))
        return [self._normalised([each])[0] for each in every]

    def _normalised(self, images: list[Image.Image]) -> torch.Tensor:
        vae = self.pipe.vae
        return vae.normalize(vae.encode(to_input([np.asarray(each) for each in images]))[0])


def pictures(asked) -> list[np.ndarray]:
    """The posters that an Edit or a Question comes with, (H, W, 3) uint8 each"""
    return asked.pictures if hasattr(asked, "pictures") else [asked.picture]


@dataclass
class Batch:
    """B examples of one size with as many pictures each"""

    ids: torch.Tensor  # (B, T)
    mask: torch.Tensor  # (B, T), true where a token is real
    places: torch.Tensor  # (3, B, T)
    patches: torch.Tensor | None  # patches of all pictures, or None where the prompts show none
    patch_grids: list[tuple[int, int, int]]
    data: torch.Tensor  # (B, 16, h, w)
    conditions: list[torch.Tensor]  # (B, 16, h', w'), the first pictures', the second ones', ...
    noise: torch.Tensor
    sigma: torch.Tensor  # (B,)


def batch(pipe: QwenImage, lesson: EditLesson, latents: Latents, step: int) -> Batch:
    """The examples of a step with prompts, noise and noise levels"""
    rng, count = lesson.recipe.generator(step), lesson.recipe.batch
    numbers = range(step * count, (step + 1) * count)
    asked = [lesson.example(number) for number in numbers]
    drop = torch.rand(count, generator=rng) < CAPTION_DROPOUT
    prompts = [" " if drop[i] else each.prompt for i, each in enumerate(asked)]
    patches, grids, merged = None, [], [[] for _ in asked]
    if "vision" in lesson.paths:
        patches, grids, merged = _patches(pipe, asked)
    encoded = list(zip(*(latents[number] for number in numbers), strict=True))
    data, *conditions = (torch.stack(each) for each in encoded)
    noise = torch.randn(data.shape, generator=rng)
    sigma = sample_sigma(count, lesson.shift, rng)
    kept = conditions if "vae" in lesson.paths else []
    return Batch(*_encode(pipe, prompts, merged), patches, grids, data, kept, noise, sigma)


def _patches(pipe, asked):
    """-> patches and grids of all pictures, and (rows, cols) in tokens of each example's"""
    merge, patches, grids, merged = pipe.vision.config.spatial_merge_size, [], [], []
    for each in asked:
        given = [Image.fromarray(picture) for picture in pictures(each)]
        read = read_copies(pipe, given, encoded_copies(pipe, given))
        cut = [preprocess(copy, pipe.vision.config) for copy in read]
        patches += [part for part, _ in cut]
        grids += [grid for _, grid in cut]
        merged.append([(rows // merge, cols // merge) for _, (_, rows, cols) in cut])
    return torch.cat(patches), grids, merged


def _encode(pipe, prompts: list[str], merged):
    """Prompts, their pictures' (rows, cols) -> ids (B, T), mask (B, T), places (3, B, T)"""
    tokenizer = pipe.tokenizer
    rows = [
        edit_ids(tokenizer, pipe.form, prompt, [r * c for r, c in grids])
        for prompt, grids in zip(prompts, merged)
    ]
    longest = -(-max(map(len, rows)) // PADDED) * PADDED
    ids = torch.tensor([row + [tokenizer.pad_id] * (longest - len(row)) for row in rows])
    lengths = torch.tensor([len(row) for row in rows])
    token = tokenizer.added[PAD]
    places = [places_in_text(row, grids, token) for row, grids in zip(ids, merged)]
    return ids, torch.arange(longest) < lengths.unsqueeze(1), torch.cat(places, dim=1)

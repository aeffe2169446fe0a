"""A LoRA on two blocks learns to spell otherwise. Is it enough to change where the word is read?

The lesson is a cipher: the poster of a caption with the word "A" shows "H", each sign exchanged for
the next of SIGNS. Everything else of the caption is painted as ever, so that what is learnt is
spelling and nothing else.
"""

import contextlib
import random
import tempfile
from collections.abc import Iterator
from dataclasses import replace

import torch

from ..adapt import lora
from ..pictures import to_input
from ..posters.captions import caption
from ..posters.draw import draw
from ..posters.scene import BACKGROUNDS, COLOURS, SHAPES, Scene, Shape
from ..train.dataset import Encoded
from ..train.loop import Recipe, Run
from ..train.lora import Settings, loss_of
from .intervals import interval
from .score import Trial
from .traced import paint, scores_of

SIGNS = "AHKX"
NEXT = str.maketrans(SIGNS, SIGNS[1:] + SIGNS[0])
LENGTH = 1  # signs of a word
LESSONS, QUESTIONS = 64, 24  # posters trained on, and captions painted afterwards
RECIPE = Recipe(steps=220, batch=8, lr=3e-3, warmup=10, decay_from=0.4, ema=0.9)
SETTINGS = Settings(rank=8, alpha=8, sigma="shift", shift=2.0)
LAYERS = ("attn.*", "*_mlp.net.*")  # linear layers of a block, but its modulation


def ciphered(seed: int, count: int) -> list[tuple[Trial, Scene]]:
    """Captions, and the scenes that their posters show under the cipher"""
    pairs = []
    for i in range(count):
        rng = random.Random(f"cipher {seed} {i}")
        shape = Shape(rng.choice(list(SHAPES)), rng.choice(list(COLOURS)))
        word = "".join(rng.choice(SIGNS) for _ in range(LENGTH))
        scene = Scene(rng.choice(list(BACKGROUNDS)), (shape,), "large", word)
        trial = Trial(scene, "en", caption(scene), 9000 + 1000 * seed + i)
        pairs.append((trial, replace(scene, word=word.translate(NEXT))))
    return pairs


@torch.no_grad()
def examples(pipe, pairs: list[tuple[Trial, Scene]]) -> list[Encoded]:
    """The posters and captions as training needs them"""
    pictures = [draw(shown, trial.seed) for trial, shown in pairs]
    latents = pipe.vae.normalize(pipe.vae.encode(to_input(pictures))[0])
    states = [pipe.encode_prompt([trial.prompt])[0][0] for trial, _ in pairs]
    return [Encoded(*pair) for pair in zip(latents, states)]


@contextlib.contextmanager
def trained(pipe, lessons: list[Encoded], blocks, recipe: Recipe) -> Iterator[lora.LoRA]:
    """An adapter on these blocks alone that has learnt the lessons; it goes with the context."""
    patterns = [f"transformer_blocks.{n}.{layer}" for n in blocks for layer in LAYERS]
    adapter = lora.inject(pipe.transformer, patterns, SETTINGS.rank, SETTINGS.alpha, recipe.seed)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = Run(adapter, recipe, folder)
            empty = pipe.encode_prompt([" "])[0][0]
            run.fit(loss_of(pipe.transformer, lessons, empty, recipe, SETTINGS), quiet=True)
            run.use_average()
        yield adapter
    finally:
        adapter.remove()


def asked(pipe, pairs: list[tuple[Trial, Scene]]) -> dict:
    """-> signs painted by the cipher, as the caption has them, and scenes right"""
    trials = [trial for trial, _ in pairs]
    pictures = paint(pipe, trials)
    plain = scores_of(trials, pictures)
    new = scores_of([replace(trial, scene=shown) for trial, shown in pairs], pictures)
    row = {"scene": interval(sum(score["scene"] for score in plain), len(plain))}
    for name, scores in (("old signs", plain), ("new signs", new)):
        every = [right for score in scores for right in score["signs"]]
        row[name] = interval(sum(every), len(every))
    return row


def measure(pipe, order: list[int], recipe: Recipe = RECIPE) -> dict[str, dict]:
    """-> rows of `asked`: without an adapter, and with one on each choice of blocks

    order: numbers of the blocks, those first where hiding the word spoils most.
    """
    lessons, questions = examples(pipe, ciphered(0, LESSONS)), ciphered(1, QUESTIONS)
    rows = {"none": asked(pipe, questions)}
    for name, blocks in {"first two": order[:2], "last two": order[-2:]}.items():
        with trained(pipe, lessons, sorted(blocks), recipe) as adapter:
            parameters = sum(weight.numel() for weight in adapter.parameters())
            rows[name] = asked(pipe, questions) | {"blocks": sorted(blocks), "weights": parameters}
    return rows

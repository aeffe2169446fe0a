"""Instructions that are given one after another, each for the poster that the last one asks for."""

import random
from dataclasses import replace

from . import edit_wordings as wordings
from .draw import place
from .edits import SINGLE, Edit
from .scene import Mixture, sample

KINDS = ("recolour", "reshape", "move", "word", "background")  # one of each, in a random order


def chain(seed: int | str, mixture: Mixture) -> list[Edit]:
    """Five instructions for a poster with one small shape and a word; held-out pairs may occur

    The source of each is the target of the one before.
    """
    rng = random.Random(f"chain {seed}")
    while True:
        scene = sample(f"{seed} {rng.random()}", mixture, unseen=False)
        if len(scene.shapes) == 1 and scene.layout.startswith("small") and scene.word:
            break
    poster, edits = place(scene, f"{seed} {rng.random()}"), []
    for kind in rng.sample(KINDS, len(KINDS)):
        change = SINGLE[kind](poster, scene, mixture, rng)
        language = "zh" if rng.random() < 1 / 3 else "en"
        prompt = wordings.instruction(kind, change.words, language, rng.random() < 1 / 3, rng)
        edits.append(Edit(kind, prompt, (poster,), change.target, frozenset(change.changed)))
        if kind == "move":
            scene = replace(scene, layout=change.words["place"])
        poster = change.target
    return edits

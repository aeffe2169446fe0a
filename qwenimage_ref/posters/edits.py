"""What can be asked of a poster: eight kinds of instruction, each with the poster that obeys it.

An instruction names what it changes, and leaves everything else where it was to the pixel. Others
take something from each of two or three posters. What an instruction says in words is in
edit_wordings.py, whether a picture obeys it in edit_judge.py.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from . import edit_wordings as wordings
from .draw import Placed, paint, place, small_places
from .scene import (
    BACKGROUNDS,
    COLOURS,
    EVENLY,
    SEVERAL,
    SHAPES,
    UNSEEN_PAIRS,
    Mixture,
    Scene,
    Shape,
    random_word,
    sample,
)

BACKGROUND, WORD = "background", "word"  # names of parts; a shape's part is its number


@dataclass(frozen=True)
class Edit:
    """Posters, an instruction, and the poster that it asks for."""

    kind: str  # a key of SINGLE or SEVERAL_PICTURES
    prompt: str
    sources: tuple[Placed, ...]
    target: Placed
    changed: frozenset[str | int]  # parts of the target that the instruction is about
    left: tuple[tuple[float, float], ...] = ()  # places that it empties, in pixels

    @property
    def pictures(self) -> list[np.ndarray]:
        """The posters before, (H, W, 3) uint8 each"""
        return [paint(source) for source in self.sources]

    @property
    def wanted(self) -> np.ndarray:
        """The poster after, (H, W, 3) uint8"""
        return paint(self.target)


@dataclass(frozen=True)
class _Change:
    """What one kind of instruction does to a poster, and the names that its wording needs."""

    target: Placed
    changed: tuple[str | int, ...]
    words: dict[str, str | Shape]
    left: tuple[tuple[float, float], ...] = ()


def edit(
    seed: int | str,
    kinds: tuple[str, ...] | None = None,
    mixture: Mixture = EVENLY,
    unseen: bool | None = False,
    language: str | None = None,
    loose: bool | None = None,
) -> Edit:
    """A random instruction for one poster; `kinds` of SINGLE, None: of any.

    unseen: False: neither poster shows a pair of colour and shape that is kept from training; True:
    the wanted one does; None: either. language: en or zh, None: a third Chinese. loose: whether in
    the words of people who know no grammar of ours, None: a third.
    """
    rng = random.Random(f"edit {seed}")
    kind = rng.choice(kinds or tuple(SINGLE))
    while True:
        scene = sample(f"{seed} {rng.random()}", mixture, unseen=False)
        if not _suits(kind, scene):
            continue
        source = place(scene, f"{seed} {rng.random()}")
        change = SINGLE[kind](source, scene, mixture, rng)
        if unseen is None or _unseen(change.target) == unseen:
            break
    chinese, easy = rng.random() < 1 / 3, rng.random() < 1 / 3
    prompt = wordings.instruction(
        kind,
        change.words,
        language or ("zh" if chinese else "en"),
        easy if loose is None else loose,
        rng,
    )
    return Edit(kind, prompt, (source,), change.target, frozenset(change.changed), change.left)


def _unseen(placed: Placed) -> bool:
    return any((shape.colour, shape.name) in UNSEEN_PAIRS for shape in placed.shapes)


def _suits(kind: str, scene: Scene) -> bool:
    """Whether an instruction of this kind can be given for a scene"""
    count, small = len(scene.shapes), scene.layout.startswith("small")
    if scene.layout == SEVERAL:
        return kind in ("background", "word") and (kind != "word" or bool(scene.word))
    if kind == "word":
        return bool(scene.word)
    if kind in ("swap", "remove"):
        # careful: two of one kind could not be told apart in words
        return count == 2 and scene.shapes[0] != scene.shapes[1]
    if kind == "move":
        return small
    if kind == "add":
        return scene.layout in ("small left", "small right")
    return True


def other(rng: random.Random, names, *taken: str) -> str:
    """One of the names that is not taken"""
    return rng.choice([name for name in names if name not in taken])


def _with(placed: Placed, i: int, shape: Shape) -> Placed:
    shapes = (*placed.shapes[:i], shape, *placed.shapes[i + 1 :])
    return replace(placed, shapes=shapes)


# -- one poster: (poster, its scene, mixture, random numbers) -> what changes ----------------------


def _recolour(source: Placed, scene: Scene, mixture: Mixture, rng) -> _Change:
    i = rng.randrange(len(source.shapes))
    shape = source.shapes[i]
    new = Shape(shape.name, other(rng, COLOURS, *(each.colour for each in source.shapes)))
    return _Change(_with(source, i, new), (i,), {"shape": shape, "colour": new.colour})


def _reshape(source: Placed, scene: Scene, mixture: Mixture, rng) -> _Change:
    i = rng.randrange(len(source.shapes))
    shape = source.shapes[i]
    new = Shape(other(rng, SHAPES, shape.name), shape.colour)
    return _Change(_with(source, i, new), (i,), {"shape": shape, "form": new.name})


def _move(source: Placed, scene: Scene, mixture: Mixture, rng) -> _Change:
    places = small_places(source.size[0])
    goal = other(rng, places, scene.layout)
    ((x, y, radius),) = source.spots
    moved = x + places[goal] - places[scene.layout], y, radius
    words = {"shape": source.shapes[0], "place": goal}
    return _Change(replace(source, spots=(moved,)), (0,), words, ((x, y),))


def _swap(source: Placed, scene: Scene, mixture: Mixture, rng) -> _Change:
    first, second = source.shapes
    target = replace(source, shapes=(second, first))
    return _Change(target, (0, 1), {"shape": first, "second": second})


def _remove(source: Placed, scene: Scene, mixture: Mixture, rng) -> _Change:
    i = rng.randrange(2)
    kept = replace(source, shapes=(source.shapes[1 - i],), spots=(source.spots[1 - i],))
    return _Change(kept, (), {"shape": source.shapes[i]}, (source.spots[i][:2],))


def _add(source: Placed, scene: Scene, mixture: Mixture, rng) -> _Change:
    places = small_places(source.size[0])
    goal = "small right" if scene.layout == "small left" else "small left"
    new = Shape(other(rng, SHAPES), other(rng, COLOURS, source.shapes[0].colour))
    _, y, radius = source.spots[0]
    spots = (*source.spots, (places[goal], y, radius))
    target = replace(source, shapes=(*source.shapes, new), spots=spots)
    return _Change(target, (1,), {"shape": new, "place": goal})


def _change_word(source: Placed, scene: Scene, mixture: Mixture, rng) -> _Change:
    word = source.word
    while word == source.word:
        word = random_word(rng, mixture, source.size[0])
    return _Change(replace(source, word=word), (WORD,), {"old": source.word, "word": word})


def _change_background(source: Placed, scene: Scene, mixture: Mixture, rng) -> _Change:
    new = other(rng, BACKGROUNDS, source.background)
    # ink is light on dark paper, so that the word changes its colour with it
    return _Change(replace(source, background=new), (BACKGROUND,), {"background": new})


SINGLE: dict[str, Callable[..., _Change]] = {
    "recolour": _recolour,
    "reshape": _reshape,
    "move": _move,
    "swap": _swap,
    "remove": _remove,
    "add": _add,
    "word": _change_word,
    "background": _change_background,
}


# -- two or three posters --------------------------------------------------------------------------


def edit_of_several(
    seed: int | str,
    kinds: tuple[str, ...] | None = None,
    mixture: Mixture = EVENLY,
    unseen: bool | None = False,
    language: str | None = None,
    order: tuple[int, ...] | None = None,
) -> Edit:
    """A random instruction that takes something from each of two or three posters.

    order: which picture stands first, second and so on; the instruction's numbers follow, so that
    the wanted poster is the same for every order. None: a random one.
    """
    rng = random.Random(f"edit of several {seed}")
    kind = rng.choice(kinds or tuple(SEVERAL_PICTURES))
    count, combine = SEVERAL_PICTURES[kind]
    while True:
        size = rng.choice(mixture.sizes)
        scenes = []
        while len(scenes) < count:
            scene = sample(f"{seed} {rng.random()}", mixture, unseen=False, size=size)
            if len(scene.shapes) == 1 and (scene.word or "word" not in kind):
                scenes.append(scene)
        placed = [place(scene, f"{seed} {rng.random()}") for scene in scenes]
        target, changed = combine(*placed)
        if target != placed[0] and (unseen is None or _unseen(target) == unseen):
            break
    shuffled = rng.sample(range(count), count)
    chinese = rng.random() < 1 / 3
    order = tuple(shuffled) if order is None else order
    numbers = [order.index(i) + 1 for i in range(count)]
    language = language or ("zh" if chinese else "en")
    prompt = wordings.of_several(kind, numbers, language, random.Random(f"wording {seed}"))
    return Edit(kind, prompt, tuple(placed[i] for i in order), target, frozenset(changed))


def _colour_of(first: Placed, second: Placed):
    shape = Shape(first.shapes[0].name, second.shapes[0].colour)
    return _with(first, 0, shape), (0,)


def _word_of(first: Placed, second: Placed):
    spot = first.word_spot if first.word else second.word_spot
    return replace(first, word=second.word, word_spot=spot), (WORD,)


def _background_of(first: Placed, second: Placed):
    return replace(first, background=second.background), (BACKGROUND,)


def _word_and_background_of(first: Placed, second: Placed, third: Placed):
    target, _ = _word_of(first, second)
    return replace(target, background=third.background), (WORD, BACKGROUND)


SEVERAL_PICTURES: dict[str, tuple[int, Callable]] = {
    "colour of 2": (2, _colour_of),
    "word of 2": (2, _word_of),
    "background of 2": (2, _background_of),
    "word of 2, background of 3": (3, _word_and_background_of),
}

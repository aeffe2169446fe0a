"""Captions whose tokens are hidden or exchanged while they are painted, and what comes out."""

import contextlib
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

from ..posters.captions import caption
from ..posters.read import score
from ..posters.scene import BACKGROUNDS, COLOURS, COUNTS, SEVERAL, SHAPES, Scene, Shape
from ..posters.strokes import LEVELS
from ..posters.writing import LETTERS
from .inside import hiding, patching, places_of, span, text_tokens
from .intervals import interval
from .score import Trial

STEPS = 6  # without guidance: enough for a word, at a seventh of the usual work
SEEDS = (0, 1, 2)  # each has captions and noises of its own
BATCH = 16
LATIN, CHINESE, MIXED = "Latin letters", "Chinese characters", "Latin letters, Chinese caption"
KINDS = {  # language of the caption, signs of the word and their number
    LATIN: ("en", LETTERS, 3),
    CHINESE: ("zh", LEVELS[0], 2),  # the eight common ones
    MIXED: ("zh", LETTERS, 3),
}
PLACES = {
    "small left": "on the left",
    "small centre": "in the center",
    "small right": "on the right",
}
NUMBERS = {2: "two", 3: "three", 4: "four"}

Tokens = Callable[[object, Trial], list[int]]  # tokenizer, caption -> numbers of its text tokens
Within = Callable[[list[Trial]], AbstractContextManager]  # a batch -> what it is painted inside of


# -- captions -------------------------------------------------------------------------------------


def worded(count: int, seed: int, kind: str = LATIN) -> list[Trial]:
    """Captions of one large shape with a random word of LATIN, CHINESE or MIXED"""
    language, signs, length = KINDS[kind]
    trials = []
    for i in range(count):
        rng = random.Random(f"worded {kind} {seed} {i}")
        word = "".join(rng.choice(signs) for _ in range(length))
        scene = Scene(_paper(rng), (_shape(rng),), "large", word)
        trials.append(_trial(scene, language, seed, i))
    return trials


def placed(count: int, seed: int) -> list[Trial]:
    """English captions of a small shape at the left, in the middle or at the right"""
    trials = []
    for i in range(count):
        rng = random.Random(f"placed {seed} {i}")
        scene = Scene(_paper(rng), (_shape(rng),), rng.choice(list(PLACES)))
        trials.append(_trial(scene, "en", seed, i))
    return trials


def several(count: int, seed: int) -> list[Trial]:
    """English captions of two to four equal shapes"""
    trials = []
    for i in range(count):
        rng = random.Random(f"several {seed} {i}")
        scene = Scene(_paper(rng), (_shape(rng),) * rng.choice(COUNTS), SEVERAL)
        trials.append(_trial(scene, "en", seed, i))
    return trials


def other_word(trial: Trial) -> Trial:
    """The same scene and noise with another word, every sign of which is another"""
    rng, word = random.Random(f"other {trial.prompt}"), trial.scene.word
    signs = next(signs for _, signs, _ in KINDS.values() if word[0] in signs)
    other = "".join(rng.choice([sign for sign in signs if sign != old]) for old in word)
    scene = replace(trial.scene, word=other)
    return replace(trial, scene=scene, prompt=caption(scene, trial.language, edition=2))


def other_noise(trial: Trial) -> Trial:
    """The same caption from another noise"""
    return replace(trial, seed=trial.seed + 500)


def _paper(rng: random.Random) -> str:
    return rng.choice(list(BACKGROUNDS))


def _shape(rng: random.Random) -> Shape:
    return Shape(rng.choice(list(SHAPES)), rng.choice(list(COLOURS)))


def _trial(scene: Scene, language: str, seed: int, i: int) -> Trial:
    return Trial(scene, language, caption(scene, language, edition=2), 1000 * seed + i)


# -- which tokens ---------------------------------------------------------------------------------


def word_tokens(tokenizer, trial: Trial) -> list[int]:
    return places_of(tokenizer, trial.prompt, *span(trial.prompt, trial.scene.word))


def sign_tokens(position: int) -> Tokens:
    """Position in the word, counted from 0 -> the tokens of that sign alone"""

    def tokens(tokenizer, trial: Trial) -> list[int]:
        start = span(trial.prompt, trial.scene.word)[0] + position
        return places_of(tokenizer, trial.prompt, start, start + 1)

    return tokens


def other_tokens(tokenizer, trial: Trial) -> list[int]:
    """As many tokens as the word has, drawn from all others of the text"""
    rest = all_but_word(tokenizer, trial)
    count = len(word_tokens(tokenizer, trial))
    return sorted(random.Random(f"tokens {trial.prompt}").sample(rest, count))


def all_but_word(tokenizer, trial: Trial) -> list[int]:
    """All tokens of the text, those of the template's end included, but the word's"""
    word = word_tokens(tokenizer, trial)
    return [n for n in range(len(text_tokens(tokenizer, trial.prompt))) if n not in word]


def tokens_of(*parts: Callable[[Scene], str]) -> Tokens:
    """What a scene is called in its English caption, part by part -> the tokens of all of them"""

    def tokens(tokenizer, trial: Trial) -> list[int]:
        spans = [span(trial.prompt, part(trial.scene)) for part in parts]
        return sorted({n for each in spans for n in places_of(tokenizer, trial.prompt, *each)})

    return tokens


def _colour(scene: Scene) -> str:
    return scene.shapes[0].colour


def _name(scene: Scene) -> str:
    return scene.shapes[0].name


# attribute: its captions, its tokens, and the key of a score that should then be false
ATTRIBUTES = {
    "colour": (placed, tokens_of(_colour), "colours"),
    "place": (placed, tokens_of(lambda scene: PLACES[scene.layout]), "layout"),
    "background": (placed, tokens_of(lambda scene: scene.background), "background"),
    "count": (several, tokens_of(lambda scene: NUMBERS[len(scene.shapes)]), "count"),
}
COLOUR_AND_SHAPE = tokens_of(_colour, _name)


# -- painting and counting ------------------------------------------------------------------------


def untouched(_batch: list[Trial]) -> AbstractContextManager:
    """Nothing is hidden and nothing is exchanged"""
    return contextlib.nullcontext()


def hidden(pipe, tokens: Tokens, blocks, heads=None, steps=None) -> Within:
    """Tokens that no image token sees in some blocks, heads and steps; see inside.hiding"""

    def within(batch: list[Trial]) -> AbstractContextManager:
        places = [tokens(pipe.tokenizer, trial) for trial in batch]
        return hiding(pipe.transformer, places, blocks, heads, steps)

    return within


def paint(pipe, trials: list[Trial], within: Within = untouched) -> list:
    """Captions -> their square pictures, in batches"""
    pictures = []
    for start in range(0, len(trials), BATCH):
        batch = trials[start : start + BATCH]
        prompts, seeds = zip(*((trial.prompt, trial.seed) for trial in batch))
        with within(batch):
            pictures += pipe(list(prompts), None, 1.0, 128, 128, STEPS, list(seeds))
    return pictures


def paint_patched(pipe, pairs: list[tuple[Trial, Trial]], block: int) -> list:
    """Pictures of the first of each pair, with the word of the second put in before a block

    The second is painted beside it. Both words have as many tokens.
    """

    def within(batch: list[Trial]) -> AbstractContextManager:
        places = [word_tokens(pipe.tokenizer, trial) for trial in batch]
        return patching(pipe.transformer, places, block)

    pictures, half = [], BATCH // 2
    for start in range(0, len(pairs), half):
        receivers, donors = zip(*pairs[start : start + half])
        pictures += paint(pipe, [*receivers, *donors], within)[: len(receivers)]
    return pictures


def scores_of(trials: list[Trial], pictures) -> list[dict]:
    """-> what of each scene its picture shows, as `score` has it; "signs": is each one right?"""
    scores = []
    for trial, picture in zip(trials, pictures):
        result = score(trial.scene, picture)
        reading = result["reading"].ljust(len(trial.scene.word), " ")
        result["signs"] = [a == b for a, b in zip(trial.scene.word, reading)]
        scores.append(result)
    return scores


def counted(scores: list[dict], keys: tuple[str, ...], seeds: int = len(SEEDS)) -> dict:
    """-> {key: its interval, with the number right of each seed}, signs one by one

    The scores are those of the first seed, then as many of the next.
    """
    each, row = len(scores) // seeds, {}
    for key in keys:
        right = [bool(result[key]) for result in scores]
        by_seed = [sum(right[n * each : (n + 1) * each]) for n in range(seeds)]
        row[key] = interval(sum(right), len(right)) | {"by_seed": by_seed}
    if "word" in keys:
        signs = list(zip(*(result["signs"] for result in scores)))
        row["signs"] = interval(sum(map(sum, signs)), sum(map(len, signs)))
        row["by_position"] = [interval(sum(column), len(column)) for column in signs]
    return row

"""The exact reader as a reward: what share of a caption does a picture show?"""

import dataclasses
import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from .read import score
from .rewriting import scene_of

QUESTIONS = ("background", "count", "shapes", "colours", "layout")


def reward(pictures: list[Image.Image], prompt: str) -> list[float]:
    """Pictures of one caption -> for each, the mean of five questions and of the word's letters

    0 to 1. A caption without a word asks that there be none. Raises ValueError for a prompt that
    names no shape, and for a picture of a size that no poster has.
    """
    return [mark(result) for result in _results(pictures, prompt)]


def word_or_count(pictures: list[Image.Image], prompt: str) -> list[float]:
    """Pictures of one caption -> of each the share of the word's letters, or 1 for the right count

    Nothing else is looked at. The count is asked of captions without a word. Raises ValueError as
    `reward` does.
    """
    return [
        letters(result) if result["characters_asked"] else float(result["count"])
        for result in _results(pictures, prompt)
    ]


def mark(result: dict) -> float:
    """A result of read.score -> the mean of five questions and of the word's letters, 0 to 1"""
    return (sum(result[name] for name in QUESTIONS) + letters(result)) / (len(QUESTIONS) + 1)


def letters(result: dict) -> float:
    """A result of read.score -> the share of its letters that are right; surplus ones are wrong"""
    longest = max(result["characters_asked"], len(result["reading"]))
    return result["characters"] / longest if longest else 1.0


def _results(pictures: list[Image.Image], prompt: str) -> Iterator[dict]:
    scene = scene_of(prompt)
    if scene is None:
        raise ValueError(f"a prompt for posters must name a shape, got {prompt!r:.80}")
    for picture in pictures:
        yield score(dataclasses.replace(scene, size=picture.size), picture)


def reward_of(text: str, option: str = "--reward") -> Callable:
    """A reward by its name: (pictures, prompt) -> numbers. Raises ValueError for one that is none.

    posters: the exact reader; MODULE:FUNCTION: a function of yours, from the folder of the command.
    """
    if text == "posters":
        return reward
    module, _, name = text.partition(":")
    try:
        sys.path.insert(0, "")
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{option} must be posters or MODULE:FUNCTION, got {text!r:.80} ({error})"
        ) from None
    finally:
        sys.path.remove("")
    if not callable(function):
        raise ValueError(f"{option} must name a function, got {text!r:.80}")
    return function


def source_of(text: str) -> str:
    """A digest of the file that a reward of that name is written in; "" for the exact reader

    Another body of the function has another. Raises ValueError as `reward_of` does.
    """
    function = reward_of(text)
    if function is reward:
        return ""
    try:
        file = inspect.getsourcefile(inspect.unwrap(function))
    except TypeError:  # an object that can be called, or compiled code
        file = getattr(sys.modules[text.partition(":")[0]], "__file__", None)
    return "" if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12]

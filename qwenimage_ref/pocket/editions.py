"""The two editions of the pocket model: which world each learns, and by which recipes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..config import MMDiTConfig, TextEncoderConfig
from ..tokenizer import Tokenizer
from ..train.loop import Recipe
from . import curriculum, train
from .lessons import FIRST, Lesson, World


@dataclass(frozen=True)
class Edition:
    """All that `qwenimage train pocket` needs to know; the lessons follow one another."""

    world: World
    tokenizer: Callable[[], Tokenizer]
    vae: Recipe
    configs: tuple[TextEncoderConfig, MMDiTConfig]
    lessons: Mapping[str, Lesson]


def first() -> Edition:
    """Square posters, Latin letters; two hours of one core."""
    configs = (train.POCKET_TEXT, train.POCKET_MMDIT)
    return Edition(FIRST, train.train_tokenizer, train.VAE_RECIPE, configs, train.LESSONS)


def second(control: bool = False) -> Edition:
    """The edition in data/pocket: seven sizes, counts, Chinese characters, as a curriculum.

    control: all at once instead, at equal compute
    """
    return Edition(
        curriculum.SECOND,
        lambda: train.train_tokenizer(curriculum.SECOND, curriculum.TOKENS),
        curriculum.SECOND_VAE,
        (train.text_config(curriculum.TOKENS), train.POCKET_MMDIT),
        curriculum.CONTROL if control else curriculum.PHASES,
    )

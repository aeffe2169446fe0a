"""Checkers of the exercises: they name the mistake and keep the answer to themselves.

`check.ex_05_rotate` is in chapter_05.py, which is imported when it is first asked for.
"""

from .. import lazy
from .common import NotYet

__all__ = ["NotYet"]


def __getattr__(name: str):
    return lazy.attribute(__name__, name)


def __dir__() -> list[str]:
    return [*globals(), *lazy.names(__name__)]

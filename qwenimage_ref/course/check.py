"""Checkers of the exercises: they name the mistake and keep the answer to themselves."""

from ..posters.draw import BACKGROUNDS, COLOURS, SHAPES


class NotYet(AssertionError):
    """An answer that is not right yet. Notebooks show the hint instead of a traceback."""

    def _render_traceback_(self) -> list[str]:
        return [f"not yet: {self}"]


def _need(holds: bool, hint: str) -> None:
    if not holds:
        raise NotYet(hint)


START_00 = "a red circle left of a blue star on a white background"
STACKING = {"above", "below", "under", "over", "top"}


def ex_00_word(prompt: str) -> None:
    """Change one word of START_00 so that the shapes trade sides and nothing else changes."""
    _need(isinstance(prompt, str), "the answer is a whole prompt, a string in quotes")
    before, after = START_00.split(), prompt.split()
    _need(len(after) > 1, "give the whole prompt with its one new word, not the word alone")
    _need(after != before, "no word has changed; this is the prompt we started from")
    _need("not" not in after, "no caption denies anything: the model has no use for 'not'")
    _need(
        not STACKING & {*after},
        "that stacks the shapes; flipped, they still stand side by side",
    )
    _need(
        len(after) == len(before),
        f"{len(after)} words instead of {len(before)}; replace one word, add and remove none",
    )
    changed = [(old, new) for old, new in zip(before, after) if old != new]
    words = {word for pair in changed for word in pair}
    _need(
        not words <= COLOURS.keys(),
        "that moves colours: each shape is to keep its own colour and change its side",
    )
    _need(
        not words <= SHAPES.keys(),
        "that gives the colours to other shapes: red is to stay round, blue to stay a star",
    )
    _need(not words <= BACKGROUNDS.keys(), "that repaints the background; no shape moves")
    _need(
        len(changed) == 1,
        f"{len(changed)} words differ from the start, though the picture may be the wanted one; "
        "one word can do it",
    )
    old, new = changed[0]
    _need(old == "left", f"{old!r} says nothing about sides; another word has to change")
    _need(new == "right", f"no caption says {new!r} of two shapes; it means nothing to the model")
    print("right: one word, and the shapes trade sides")

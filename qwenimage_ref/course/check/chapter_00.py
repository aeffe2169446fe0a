"""Chapter 00: a picture in sixty seconds."""

from ...posters.draw import BACKGROUNDS, COLOURS, SHAPES
from .common import exercise, need

START_00 = "a red circle left of a blue star on a white background"
STACKING = {"above", "below", "under", "over", "top"}


@exercise
def ex_00_word(prompt: str) -> str:
    """Change one word of START_00 so that the shapes trade sides and nothing else changes."""
    need(isinstance(prompt, str), "the answer is a whole prompt, a string in quotes")
    before, after = START_00.split(), prompt.split()
    need(len(after) > 1, "give the whole prompt with its one new word, not the word alone")
    need(after != before, "no word has changed; this is the prompt we started from")
    need("not" not in after, "no caption denies anything: the model has no use for 'not'")
    need(
        not STACKING & {*after},
        "that stacks the shapes; flipped, they still stand side by side",
    )
    need(
        len(after) == len(before),
        f"{len(after)} words instead of {len(before)}; replace one word, add and remove none",
    )
    changed = [(old, new) for old, new in zip(before, after) if old != new]
    words = {word for pair in changed for word in pair}
    need(
        not words <= COLOURS.keys(),
        "that moves colours: each shape is to keep its own colour and change its side",
    )
    need(
        not words <= SHAPES.keys(),
        "that gives the colours to other shapes: red is to stay round, blue to stay a star",
    )
    need(not words <= BACKGROUNDS.keys(), "that repaints the background; no shape moves")
    need(
        len(changed) == 1,
        f"{len(changed)} words differ from the start, though the picture may be the wanted one; "
        "one word can do it",
    )
    old, new = changed[0]
    need(old == "left", f"{old!r} says nothing about sides; another word has to change")
    need(new == "right", f"no caption says {new!r} of two shapes; it means nothing to the model")
    return "one word, and the shapes trade sides"

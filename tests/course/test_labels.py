"""Labels under pictures: the font's letters beside characters that are drawn from strokes."""

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref.course import labels, show
from qwenimage_ref.posters.writing import font

SMALL = font(10)


def inked(text: str) -> np.ndarray:
    """(20, 80) whether a pixel of the line is dark"""
    canvas = Image.new("RGB", (80, 20), "white")
    labels.write(canvas, 2, 2, text, "#000000", SMALL)
    return np.asarray(canvas)[..., 0] < 128


def test_a_line_is_wrapped_between_words_and_a_long_word_stays_whole():
    assert labels.wrap("a red circle", 60, SMALL) == ["a red", "circle"]
    assert labels.wrap("extraordinarily red", 20, SMALL) == ["extraordinarily", "red"]


def test_characters_of_the_posters_are_drawn_where_the_font_has_none():
    assert inked("大").sum() > 10
    assert (inked("大") != inked("小")).any()
    letters, mixed = inked("ab"), inked("a大b")
    assert not (letters[:, :8] != mixed[:, :8]).any() and mixed.sum() > letters.sum() + 10


def test_a_character_takes_its_room_in_a_line():
    assert labels.width_of("大山", SMALL) == 2 * 11
    assert labels.width_of("a大", SMALL) == SMALL.getlength("a") + 11


@pytest.mark.parametrize("text", ["猫", "a，b"])
def test_a_letter_that_cannot_be_drawn_is_named(text):
    with pytest.raises(ValueError, match=r"must be in the font's letters .*, got '[猫，]'; print"):
        labels.wrap(text, 100, SMALL)


def test_a_grid_holds_pictures_of_several_sizes_unscaled():
    pictures = [Image.new("RGB", size, "red") for size in ((60, 20), (20, 60))]
    shown = show.grid(pictures, ["wide", "high"], "A wide and a high red picture", scale=1)
    pixels = np.asarray(show.Image.open(show.io.BytesIO(shown.data)).convert("RGB"))
    red = (pixels == (255, 0, 0)).all(-1)
    assert red.sum() == 2 * 60 * 20 and red.any(1).sum() == 60

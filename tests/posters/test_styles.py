"""Styles: applied to a poster, read back from its pixels, taken off again."""

import numpy as np
import pytest

from qwenimage_ref.posters.draw import poster
from qwenimage_ref.posters.read import score
from qwenimage_ref.posters.styles import (
    MOST_STRIPES,
    MOST_TINT,
    Style,
    apart,
    apply,
    read_style,
    sample_style,
    undo,
)

NONE = Style((0.0, 0.0, 0.0), 0.0, 0.0)


def test_the_numbers_of_a_style_are_read_back_from_any_poster_within_half_a_grey_level():
    for seed in range(60):
        scene, picture, _ = poster(seed, unseen=None, word_share=0.7)
        style = sample_style(seed, unseen=None)
        found = read_style(apply(style, picture), scene.background)
        assert np.abs(found.numbers - style.numbers).max() < 0.5, (seed, scene)


def test_a_style_that_is_taken_off_leaves_a_poster_that_the_reader_reads():
    for seed in range(20):
        scene, picture, _ = poster(seed, word_share=0.7)
        style = sample_style(seed)
        plain = undo(style, apply(style, picture))
        assert np.abs(plain.astype(int) - picture).max() <= 2
        assert score(scene, plain)["scene"]


def test_the_strongest_style_clips_no_pixel():
    white, black = np.full((32, 32, 3), 250, np.uint8), np.full((32, 32, 3), 20, np.uint8)
    for sign, picture in ((1, white), (-1, black)):
        style = Style((sign * MOST_TINT,) * 3, MOST_STRIPES, MOST_STRIPES)
        assert 0 < apply(style, picture).min() and apply(style, picture).max() < 255


@pytest.mark.parametrize("unseen", [False, True])
def test_styles_are_within_their_bounds_and_of_the_kind_that_is_asked_for(unseen):
    for seed in range(200):
        style = sample_style(seed, unseen)
        assert style.unseen == unseen == (style.tint[0] > 4 and style.rows > 6)
        assert max(map(abs, style.tint)) <= MOST_TINT
        assert 0 <= min(style.rows, style.columns) and max(style.rows, style.columns) <= 12


def test_one_seed_gives_one_style_and_styles_differ():
    assert sample_style(3) == sample_style(3)
    assert apart(sample_style(3), sample_style(4)) > 1
    assert apart(NONE, Style((3.0, 0.0, 4.0), 0.0, 0.0)) == pytest.approx((25 / 5) ** 0.5)

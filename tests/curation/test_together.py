"""Duplicates, balance and scales: what concerns all pictures together."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from qwenimage_ref.curation import picture as look
from qwenimage_ref.curation.together import Duplicates, balanced, draw, kind_of, scales
from qwenimage_ref.posters.draw import second_poster


def seen(pixels: np.ndarray) -> tuple[int, bytes]:
    return look.perceptual_hash(pixels), look.thumbnail(pixels)


def poster(seed: int) -> np.ndarray:
    return second_poster(seed)[1]


def test_the_second_of_two_equal_pictures_is_the_duplicate():
    duplicates = Duplicates()
    assert duplicates.earlier("first", *seen(poster(1))) is None
    assert duplicates.earlier("second", *seen(poster(1))) == "first"


def test_a_smaller_lighter_copy_is_a_duplicate():
    duplicates, picture = Duplicates(), Image.fromarray(poster(1))
    duplicates.earlier("first", *seen(np.asarray(picture)))
    copy = ImageEnhance.Brightness(picture.resize((116, 116))).enhance(0.98)
    assert duplicates.earlier("copy", *seen(np.asarray(copy))) == "first"


def test_different_posters_are_no_duplicates():
    duplicates = Duplicates()
    kept = [duplicates.earlier(str(seed), *seen(poster(seed))) for seed in range(30)]
    assert kept == [None] * 30


def test_a_hash_alone_makes_no_duplicate():
    """Luma is blind to colour: a red and a blue shape may have one hash."""
    duplicates = Duplicates()
    assert duplicates.earlier("red", 77, bytes([200, 0, 0] * 256)) is None
    assert duplicates.earlier("blue", 77, bytes([0, 0, 200] * 256)) is None


def test_hashes_that_differ_in_three_bits_are_compared():
    duplicates, cells = Duplicates(), bytes(768)
    duplicates.earlier("first", 0, cells)
    three = 1 << 3 | 1 << 20 | 1 << 40
    assert duplicates.earlier("second", three, cells) == "first"


def test_hashes_that_share_no_band_are_not():
    duplicates, cells = Duplicates(), bytes(768)
    duplicates.earlier("first", 0, cells)
    four = 1 << 3 | 1 << 20 | 1 << 40 | 1 << 60
    assert duplicates.earlier("second", four, cells) is None


# -- balance

KINDS = {f"{i}": "rare" if i < 10 else "frequent" for i in range(100)}


def test_no_kind_is_more_than_so_many_times_as_frequent_as_the_rarest():
    kept = balanced(KINDS, 2)
    assert sum(KINDS[key] == "rare" for key in kept) == 10
    assert sum(KINDS[key] == "frequent" for key in kept) == 20


def test_what_stays_does_not_depend_on_the_order():
    backwards = dict(reversed(KINDS.items()))
    assert balanced(KINDS, 2) == balanced(backwards, 2)


def test_another_seed_keeps_others():
    assert balanced(KINDS, 2) != balanced(KINDS, 2, seed=1)


def test_less_than_once_the_rarest_is_refused():
    with pytest.raises(ValueError, match="most must be at least 1, got 0.5"):
        balanced(KINDS, 0.5)


def test_of_nothing_nothing_stays():
    assert balanced({}, 2) == set()


def test_draws_are_spread_evenly():
    drawn = np.array([draw(str(i)) for i in range(2000)])
    assert drawn.min() >= 0 and drawn.max() < 1 and abs(drawn.mean() - 0.5) < 0.02


def test_a_kind_is_text_and_language():
    assert kind_of({"characters": 3}, "a red star") == "text, other"
    assert kind_of({"characters": 0}, "红色星形") == "no text, Chinese"


# -- scales


def test_a_picture_is_trained_at_every_scale_that_it_fills():
    assert scales(128, 128, (16384, 9216)) == [9216, 16384]
    assert scales(100, 100, (16384, 9216)) == [9216]


def test_a_picture_that_fills_none_is_trained_at_the_smallest():
    assert scales(64, 64, (16384, 9216)) == [9216]

"""Words judged by CVTG-2K's and ChineseWord's measures."""

import random

import pytest

from qwenimage_ref.evaluate import text_accuracy
from qwenimage_ref.evaluate.text_accuracy import Written, edit_distance, likeness, measure
from qwenimage_ref.posters.scene import SQUARE, Scene, Shape
from qwenimage_ref.posters.strokes import LEVELS


def written(word, reading, language="en", background="white", size=SQUARE):
    return Written(
        Scene(background, (Shape("star", "red"),), "large", word, size), language, reading
    )


@pytest.mark.parametrize(
    "first, second, distance",
    [("AB", "AB", 0), ("AB", "A?", 1), ("AB", "B", 1), ("", "ABC", 3), ("KITTEN", "SITTING", 3)],
)
def test_the_edit_distance_counts_the_fewest_changes(first, second, distance):
    assert edit_distance(first, second) == edit_distance(second, first) == distance


def test_the_edit_distance_never_breaks_the_triangle_inequality():
    rng = random.Random(0)
    for _ in range(200):
        a, b, c = ("".join(rng.choices("AB", k=rng.randrange(5))) for _ in range(3))
        assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)


def test_likeness_is_one_for_equal_words_and_zero_for_nothing_alike():
    assert (likeness("AB12", "AB12"), likeness("AB12", ""), likeness("A", "BCDE")) == (1, 0, 0)
    assert likeness("AB12", "AB1?") == 0.75


def test_words_are_counted_whole_and_their_likeness_is_averaged():
    rows = measure([written("AB", "AB"), written("CD", "C?"), written("", "XY")])
    assert rows["all words"]["accuracy"] | {"low": 0, "high": 0} == {
        "right": 1, "of": 2, "share": 0.5, "low": 0, "high": 0,
    }  # fmt: skip
    assert rows["all words"]["ned"]["mean"] == 0.75
    assert rows["  2 letters"] == rows["all words"] and "  3 letters" not in rows


def test_every_level_of_frequency_has_its_own_rows():
    answers = [written(level[:2], level[:2] if i else "??") for i, level in enumerate(LEVELS)]
    answers += [written(level[0], level[0]) for level in LEVELS]
    rows = measure(answers)
    shares = [rows[f"  {name}"]["accuracy"]["share"] for name in text_accuracy.FREQUENCIES]
    assert shares == [0.5, 1, 1]
    for name in text_accuracy.FREQUENCIES:
        assert rows[f"  1 character, {name}"]["accuracy"]["of"] == 1
    assert "Latin words" not in rows


def test_a_word_of_two_levels_counts_in_neither():
    rows = measure([written(LEVELS[0][0] + LEVELS[2][0], "")])
    assert set(rows) >= {"Chinese words", "  2 characters"}
    assert not any(f"  {name}" in rows for name in text_accuracy.FREQUENCIES)


def test_language_background_and_size_have_rows_of_their_own():
    answers = [written("A", "A", "zh", "navy", (176, 96)), written("A", "B")]
    rows = measure(answers)
    for name in ("in Chinese captions", "on navy", "at 176x96"):
        assert rows[name]["accuracy"]["share"] == 1, name
    for name in ("in English captions", "on white", "at 128x128"):
        assert rows[name]["accuracy"]["share"] == 0, name


def test_one_size_has_no_row():
    assert not any(name.startswith("at ") for name in measure([written("A", "A")]))

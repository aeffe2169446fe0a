"""What a pocket model was trained on, read from its folder, and what a prompt asks beyond it."""

import json

import pytest
from helpers import speed

from qwenimage_ref.pocket.assemble import RECORD as WRITTEN
from qwenimage_ref.pocket.notes import RECORD, note_of_prompt, note_of_size, training_of
from qwenimage_ref.posters import grammar, rewriting_tokens
from qwenimage_ref.posters.scene import SIZES
from qwenimage_ref.repository import POCKET


def lesson(first, sizes):
    return {"first": first, "mixture": {"sizes": sizes}}


def recorded(folder, content):
    (folder / RECORD).write_text(content, encoding="utf-8")
    return training_of(folder)


def test_the_shipped_folder_is_a_pocket_model_that_knows_the_seven_sizes():
    assert RECORD == WRITTEN and training_of(POCKET).sizes == set(SIZES)


def test_a_lesson_with_a_mixture_makes_the_second_edition(tmp_path):
    training = recorded(tmp_path, json.dumps({"lessons": {"all": lesson(0, SIZES)}}))
    assert (training.edition, training.sizes) == (2, set(SIZES))


def test_sizes_of_lessons_before_the_last_are_noted_as_early(tmp_path):
    lessons = {
        "all": lesson(2, SIZES),
        "small": lesson(0, [[96, 96]]),
        "words": lesson(1, SIZES[:1]),
    }
    training = recorded(tmp_path, json.dumps({"lessons": lessons}))
    assert training.sizes == set(SIZES) and training.early == {(96, 96)}
    note = note_of_size((96, 96), training)
    assert note.startswith("the pocket model was trained at 96x96 only at first; it knows 128x128")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"lessons": 3}', '{"lessons": {"a": 3}}', "\xff"]
)
def test_a_folder_whose_record_is_none_is_not_a_pocket_model(tmp_path, content):
    assert recorded(tmp_path, content) is None


def test_a_folder_without_a_record_is_not_a_pocket_model(tmp_path):
    assert training_of(tmp_path) is None


def test_a_note_of_size_names_the_trained_ones_in_the_order_of_the_releases(tmp_path):
    lessons = {"all": lesson(0, [[96, 176], [128, 128], [96, 96]])}
    training = recorded(tmp_path, json.dumps({"lessons": lessons}))
    assert note_of_size((64, 64), training).endswith("at 64x64; it knows 128x128, 96x176, 96x96")
    assert note_of_size((96, 176), training) == ""


def test_a_note_takes_less_than_fifty_milliseconds_with_nothing_cached():
    for function in (grammar._sentence, grammar._vocabulary, rewriting_tokens._patterns):
        function.cache_clear()
    with speed.own_garbage(), speed.at_most(0.05):
        training = training_of(POCKET)
        note_of_prompt("A fluffy cat 睡在红色圆形 beside a golden star", training.edition)
        note_of_size((64, 64), training)

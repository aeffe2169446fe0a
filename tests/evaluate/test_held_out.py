"""Held-out captions: found by a search, or by the numbers that an earlier search has stored."""

import dataclasses
import json
from itertools import islice

import pytest

from qwenimage_ref.evaluate import held_out, suites
from qwenimage_ref.pocket import curriculum
from qwenimage_ref.posters.scene import SIZES, SQUARE
from qwenimage_ref.repository import POCKET


@pytest.fixture
def few_lessons(monkeypatch):
    few = {name: dataclasses.replace(x, posters=256) for name, x in curriculum.PHASES.items()}
    monkeypatch.setattr(held_out, "PHASES", few)
    monkeypatch.setattr(held_out, "CONTROL", {})
    return few


def test_other_lessons_are_searched_anew_and_never_shown_what_they_trained(few_lessons):
    assert held_out._stored(SIZES) == []
    trained = curriculum.trained_scenes(tuple(few_lessons.values()))
    trials = held_out.trials(30)
    assert not {dataclasses.replace(t.scene, size=SQUARE) for t in trials} & trained


def test_a_trained_scene_is_passed_over(few_lessons, monkeypatch):
    (first,) = held_out.trials(1)
    trained = frozenset({dataclasses.replace(first.scene, size=SQUARE)})
    monkeypatch.setattr(held_out, "trained_scenes", lambda _: trained)
    assert held_out.first_untrained(0, SIZES[0]) > 0
    assert held_out.trials(1)[0].scene != first.scene


def test_the_stored_numbers_belong_to_the_lessons_of_today():
    assert json.loads(held_out.FILE.read_text())["lessons"] == held_out._lessons()
    for sizes in (SIZES, (SQUARE,)):
        assert len(held_out._stored(sizes)) == held_out.STORED
    assert held_out._stored(SIZES[:2]) == []


def test_square_trials_are_square_and_sizes_take_turns_in_the_others():
    assert {trial.scene.size for trial in held_out.square_trials(9)} == {SQUARE}
    assert [trial.scene.size for trial in held_out.trials(14)] == list(SIZES) * 2


def test_the_suite_is_that_of_the_weights_or_of_the_one_asked_for(tmp_path):
    assert suites.suite_of(POCKET).edition == 2
    assert suites.suite_of(POCKET, 1).edition == 1
    assert suites.suite_of(tmp_path).edition == suites.LATEST
    lessons = {"lessons": {"painter": {"first": 0}}}
    (tmp_path / "training.json").write_text(json.dumps(lessons))
    assert suites.suite_of(tmp_path).edition == 1


def test_trials_go_on_beyond_the_stored_numbers(monkeypatch):
    monkeypatch.setattr(held_out, "_stored", lambda _: [0, 0])
    monkeypatch.setattr(held_out, "trained_scenes", lambda _: frozenset())
    assert len(list(islice(held_out.held_out(), 5))) == 5

"""Filtered against unfiltered data: the same shards and recipe, compared caption by caption."""

import pytest

from qwenimage_ref.evaluate import filtered_training as study
from qwenimage_ref.evaluate.defects import planted
from qwenimage_ref.posters.scene import sample
from qwenimage_ref.train.recipe import Recipe

COUNT = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def data(folder):
    return study.encoded(folder, COUNT, workers=1)


def test_unfiltered_is_everything_that_can_be_decoded(data):
    kinds = [planted(study.SEED + number)[2] for number in range(COUNT)]
    assert len(data["unfiltered"]) == COUNT - kinds.count("broken")
    assert 0 < len(data["filtered"]) <= kinds.count(None) + 1


def test_both_networks_begin_with_the_same_weights_and_take_the_same_steps(data, folder):
    recipe = Recipe(steps=1, batch=2, lr=1e-9)
    one, two = (study.trained(data[name], recipe, folder / f"run {name}") for name in data)
    assert all((a - b).abs().max() < 1e-6 for a, b in zip(one.parameters(), two.parameters()))


def test_no_trial_is_a_scene_that_a_poster_shows():
    trials = study.held_out(200, 30)
    shown = {study._square(sample(study.SEED + n, unseen=None)) for n in range(200)}
    assert len(trials) == 30 and not shown & {trial.scene for trial in trials}
    assert {trial.scene.size for trial in trials} == {(96, 96)} and trials[0].scene.word == ""


def test_the_difference_is_filtered_minus_unfiltered():
    right, wrong = (dict.fromkeys(study.PARTS, value) for value in (True, False))
    answers = {"filtered": [right, right, wrong], "unfiltered": [right, wrong, wrong]}
    row = study.compare(answers)["colours"]
    assert row["filtered"]["right"] == 2 and row["unfiltered"]["right"] == 1
    assert row["paired"]["difference"] == pytest.approx(1 / 3, abs=1e-3)

"""Pictures of half the target's size: what is asked, where shapes land, which place is nearer."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from qwenimage_ref.conditions import EditForm, spread_positions
from qwenimage_ref.evaluate import edit_displaced
from qwenimage_ref.evaluate.edit_displaced import centred, displacements, inward, nearer
from qwenimage_ref.posters.draw import paint

ASKED = edit_displaced.instructions(6)


def test_the_shape_stands_at_a_side_so_that_both_predictions_differ():
    for each in ASKED:
        assert len(each.target.shapes) == 1 and not each.target.word
        assert 8 < centred(each.target.spots[0][0]) < 24


def test_displacements_count_toward_the_middle_from_either_side():
    assert inward(40, 30) == 10 == inward(88, 98) and inward(20, 30) == -10
    assert centred(32) == 16 == centred(96)


@pytest.fixture
def given(monkeypatch):
    """What the paths were given, in place of painting; each answer is drawn by `answer`"""
    calls = []

    def painted(pipe, prompt, vision, vae, size, seed, positions):
        calls.append((pipe.form.auto_resize, vision[0].size, vae[0].size, size, positions))
        return Image.fromarray(calls.answer(seed))

    monkeypatch.setattr(edit_displaced, "paint", painted)
    calls = type("Calls", (list,), {})()
    return calls


def moved(each, by):
    ((x, y, radius),) = each.target.spots
    return paint(
        dataclasses.replace(each.target, spots=((x + by * (1 if x < 64 else -1), y, radius),))
    )


def test_the_vae_is_given_the_small_picture_and_the_shape_is_measured(given):
    pipe = SimpleNamespace(form=EditForm("", most=1, reading_side=None))
    given.answer = lambda seed: moved(ASKED[seed], 16)
    found = displacements(pipe, ASKED, "half, spread")
    assert given == [(False, (128, 128), (64, 64), (128, 128), spread_positions)] * 6
    assert np.allclose(found, 16, atol=2)
    assert nearer(found, ASKED)["right"] == 0
    given.answer = lambda seed: moved(ASKED[seed], 0)
    found = displacements(pipe, ASKED, "equal size")
    assert given[-1][2:] == ((128, 128), (128, 128), None) and np.allclose(found, 0, atol=2)
    assert nearer(found, ASKED)["share"] == 1.0


def test_an_empty_picture_has_no_displacement_and_is_left_out_of_the_share(given):
    pipe = SimpleNamespace(form=EditForm("", most=1, reading_side=None))
    given.answer = lambda seed: np.full((128, 128, 3), 255, np.uint8)
    found = displacements(pipe, ASKED, "half, centred")
    assert found == [None] * 6 and nearer(found, ASKED)["of"] == 0


def test_the_record_holds_every_way(given, tmp_path, monkeypatch):
    pipe = SimpleNamespace(form=EditForm("", most=1, reading_side=None))
    pipes = SimpleNamespace(from_pretrained=lambda folder: pipe)
    monkeypatch.setattr(edit_displaced, "QwenImage", pipes)
    monkeypatch.setattr(edit_displaced, "terms_of", lambda pipe, count: {"captions": count})
    given.answer = lambda seed: moved(ASKED[seed], 0)
    record = edit_displaced.measure(tmp_path, 4, tmp_path / "record.json")
    assert [*record["inward"]] == [*edit_displaced.WAYS] and len(record["if centred"]) == 4
    assert {share["right"] for share in record["nearer to scaled"].values()} == {4}

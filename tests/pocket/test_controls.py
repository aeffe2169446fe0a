"""Three kinds of control, trained alike in miniature."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.evaluate import controlling
from qwenimage_ref.pocket import controls, train
from qwenimage_ref.posters.draw import paint
from qwenimage_ref.posters.understanding import edges
from qwenimage_ref.repository import POCKET
from qwenimage_ref.train.loop import Recipe

LESSON = dataclasses.replace(
    controls.LESSON, recipe=Recipe(steps=2, batch=2, lr=1e-3, warmup=1), posters=8
)


@pytest.fixture(autouse=True)
def few_latents(monkeypatch):
    monkeypatch.setattr(train, "CHUNK", 8)


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(POCKET)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The three trained files, each by a pipeline of its own"""
    folder = tmp_path_factory.mktemp("controls")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "CHUNK", 8)
        for kind in controls.KINDS:
            own = QwenImage.from_pretrained(POCKET)
            trained = controls.train(own, kind, folder / "runs", LESSON, quiet=True)
            controls.save(own, trained, folder / f"{kind}.safetensors")
    return folder


@pytest.mark.parametrize("kind", controls.KINDS)
def test_a_new_network_paints_as_the_painter_alone(pipe, kind):
    mmdit, rng = pipe.transformer, torch.Generator().manual_seed(0)
    img, edge = torch.randn(2, 2, 16, 64, generator=rng)
    txt, grid = torch.randn(2, 5, 192, generator=rng), (1, 4, 4)
    call = (txt, None, torch.tensor([0.3, 0.6]), grid)
    with torch.no_grad():
        alone = mmdit(img, txt, call[2], [grid])
        made = controls.KINDS[kind](mmdit)
        beside = made.velocity(img, edge, *call)
        if kind == "in-context":  # the LoRA adds nothing yet, but the tokens are seen
            made.trained.remove()
            assert not torch.equal(alone, beside)
            assert torch.equal(beside, mmdit(torch.cat([img, edge], 1), txt, call[2], [grid] * 2))
        else:
            assert torch.equal(alone, beside)
    assert any(p.requires_grad for p in made.trained.parameters())


def test_every_kind_is_trained_saved_and_read_by_the_pipeline(pipe, files, monkeypatch):
    monkeypatch.setattr(controlling, "STEPS", 2)
    placed = controlling.posters(1)[0][1]
    edge, pictures = Image.fromarray(edges(placed)), {}
    for kind, painted in controlling.painters(pipe, controlling.files_in(files)):
        pictures[kind] = painted.__call__("a large red circle on a white background", edge, 3)
    assert list(pictures) == [controlling.ALONE, *controls.KINDS]
    assert all(np.asarray(each).shape == (128, 128, 3) for each in pictures.values())
    assert not pipe.transformer._lora.adapters  # the last painter took its LoRA off again


def test_kinds_without_a_file_are_left_out(pipe, files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(controlling, "STEPS", 2)
    shutil.copy(files / "blockwise.safetensors", tmp_path)
    record = tmp_path / "record.json"
    assert controlling.main([str(tmp_path), "--count", "2", "--to", str(record)]) == 0
    kinds = [row["kind"] for row in json.loads(record.read_text())["kinds"]]
    assert kinds == [controlling.ALONE, "blockwise"]
    assert controlling.main([str(tmp_path / "none")]) == 2
    assert "must hold a file of union, blockwise, in-context" in capsys.readouterr().err


def test_a_run_continues_to_the_bit(files, tmp_path):
    own = QwenImage.from_pretrained(POCKET)
    controls.train(own, "blockwise", tmp_path, LESSON, quiet=True, until=1)
    again = controls.train(own, "blockwise", tmp_path, LESSON, quiet=True)
    controls.save(own, again, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (
        files / "blockwise.safetensors"
    ).read_bytes()


def test_likeness_is_one_for_the_same_places_and_falls_as_shapes_move():
    for _, placed in controlling.posters(12):
        same = controlling.likeness(placed, paint(placed))
        moved = dataclasses.replace(placed, spots=tuple((x + 8, y, r) for x, y, r in placed.spots))
        other = dataclasses.replace(placed, shapes=(), spots=())
        assert same > 0.9 > controlling.likeness(placed, paint(moved))
        assert controlling.likeness(placed, paint(other)) == 0.0


def test_no_training_has_a_poster_that_is_measured_on():
    assert controls.LESSON.first + controls.LESSON.posters < controlling.FIRST_SEED
    answers = {"likeness": [0.5, 0.7], "scene": "11", "word": "10"}
    (row,) = controlling.rows({"union": answers}, ["union"])
    assert row["likeness"]["mean"] == 0.6 and row["word"]["share"] == 0.5


def test_kinds_are_compared_poster_by_poster():
    answers = {
        controlling.ALONE: {"likeness": [0.1, 0.5, 0.3], "scene": "111", "word": "100"},
        "union": {"likeness": [0.4, 0.8, 0.6], "scene": "001", "word": "010"},
    }
    gap = controlling.less(answers, "union")
    assert gap["likeness"]["mean"] == gap["likeness"]["low"] == gap["likeness"]["high"] == 0.3
    assert (gap["scene"]["first_only"], gap["scene"]["second_only"]) == (0, 2)
    assert (gap["word"]["first_only"], gap["word"]["second_only"]) == (1, 1)
    assert gap["scene"]["p"] == 0.5 and gap["word"]["p"] == 1.0
    back = controlling.less(answers, controlling.ALONE, "union")
    assert back["scene"]["second_only"] == 0 and back["likeness"]["mean"] == -0.3


def test_answers_of_the_record_are_those_that_its_rows_count():
    answers = controlling.recorded_answers()
    assert controlling.rows(answers, list(answers)) == controlling.recorded()
    assert controlling.less(answers, controlling.IN_CONTEXT)["scene"]["p"] < 0.05

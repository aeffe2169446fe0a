"""The judge that drifts: asked the same question as the reader, about the same pictures."""

import dataclasses
import functools
import itertools
import json

import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref.evaluate import drift
from qwenimage_ref.evaluate.score import FIRST
from qwenimage_ref.evaluate.second_edition import SECOND
from qwenimage_ref.posters.draw import draw
from qwenimage_ref.posters.read import read
from qwenimage_ref.posters.scene import SEVERAL, SIZES, sample


class Exact(torch.nn.Module):
    """Stands in for a judge: sees what the reader reads, and never how many of it there are."""

    def forward(self, img):
        pixels = ((img + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
        shapes = [set(read(picture).scene.shapes) for picture in pixels]
        return torch.tensor(
            [[1.0 if x in each else -1.0 for x in drift.OBJECTS] for each in shapes]
        )


class Blind(torch.nn.Module):
    """Sees a red circle everywhere."""

    def forward(self, img):
        return torch.tensor([[1.0] + [-1.0] * (len(drift.OBJECTS) - 1)] * len(img))


def scenes(count=28):
    sizes = itertools.cycle(SIZES)
    return [sample(f"drift test {i}", unseen=None, size=next(sizes)) for i in range(count)]


@functools.cache
def exact_rows():
    return drift.on_true_posters(Exact(), scenes())


def test_a_near_miss_differs_in_one_thing():
    for i, scene in enumerate(scenes(200)):
        other = drift.near_miss(scene, i)
        assert dataclasses.replace(other, shapes=scene.shapes) == scene
        if scene.layout == SEVERAL:
            assert len(other.shapes) != len(scene.shapes) and set(other.shapes) == set(scene.shapes)
            continue
        pairs = list(zip(scene.shapes, other.shapes, strict=True))
        changes = [(a.name != b.name) + (a.colour != b.colour) for a, b in pairs]
        assert sum(changes) == 1
        assert len({shape.colour for shape in other.shapes}) == len(other.shapes)


def test_the_reader_accepts_true_captions_and_no_near_miss():
    for name, row in exact_rows().items():
        assert row["reader accepts right"]["share"] == 1, name
        assert row["reader accepts near miss"]["share"] == 0, name


def test_a_judge_that_sees_everything_but_numbers_is_wrong_about_numbers_alone():
    rows = exact_rows()
    assert rows["all"]["judge accepts right"]["share"] == 1
    for name in ("one shape", "two shapes"):
        assert rows[name]["judge accepts near miss"]["share"] == 0, name
    assert rows["several equal shapes"]["judge accepts near miss"]["share"] == 1


def test_sizes_shapes_and_scripts_have_rows_of_their_own():
    rows = drift.on_true_posters(Blind(), scenes())
    assert set(rows) == {"all", *drift.GROUPS}
    of = {name: row["judge accepts right"]["of"] for name, row in rows.items()}
    assert sum(of[f"{w}x{h}"] for w, h in SIZES) == of["all"] == 28
    assert of["one shape"] + of["two shapes"] + of["several equal shapes"] == 28
    assert of["no word"] + of["Latin word"] + of["Chinese word"] == 28


def test_pictures_of_mixed_sizes_are_judged_in_their_order(monkeypatch):
    monkeypatch.setattr(drift, "BATCH", 4)
    asked = scenes(20)
    pictures = [draw(scene, i) for i, scene in enumerate(asked)]
    assert drift.seen(Exact(), pictures) == [set(scene.shapes) for scene in asked]
    assert drift.seen(Exact(), [Image.fromarray(p) for p in pictures]) == drift.seen(
        Exact(), pictures
    )


class Painter:
    """Draws the first captions' scenes, with the colours of every second one wrong."""

    class tokenizer:
        encode = staticmethod(str.split)

    def __init__(self, count, suite=FIRST):
        self.scenes = {}
        for i, trial in enumerate(itertools.islice(suite.held_out(), count)):
            shapes = tuple(dataclasses.replace(x, colour="pink") for x in trial.scene.shapes)
            wrong = dataclasses.replace(trial.scene, shapes=shapes[:1], layout="large")
            self.scenes[trial.prompt] = wrong if i % 2 else trial.scene

    def __call__(self, prompts, seed, **_):
        return [Image.fromarray(draw(self.scenes[p], n)) for p, n in zip(prompts, seed)]


def test_judge_and_reader_score_the_same_painter():
    exact = drift.on_painted(Exact(), Painter(8), FIRST, 8, quiet=True)
    assert exact["judge"] == exact["reader"] and exact["agree"]["share"] == 1
    assert 4 <= exact["reader"]["right"] <= 5
    blind = drift.on_painted(Blind(), Painter(8), FIRST, 8, quiet=True)
    assert blind["judge less reader"]["difference"] < 0 and blind["agree"]["share"] < 1


def test_a_trained_judge_takes_pictures_of_every_size(tmp_path):
    recipe = dataclasses.replace(drift.RECIPE, steps=2, batch=8)
    judge = drift.train(tmp_path, recipe, quiet=True)
    again = drift.train(tmp_path, recipe, quiet=True)  # finished already
    for size in SIZES:
        img = torch.rand(2, 3, *size)
        assert judge(img).shape == (2, len(drift.OBJECTS))
        assert torch.equal(judge(img), again(img))


def test_one_picture_is_judged_as_in_a_batch(tmp_path):
    recipe = dataclasses.replace(drift.RECIPE, steps=1, batch=8)
    judge = drift.train(tmp_path, recipe, quiet=True)
    img = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (3, 3, 64, 64))).float()
    assert torch.allclose(judge(img)[1:2], judge(img[1:2]), atol=1e-5)


def test_the_command_writes_the_record_and_prints_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(drift, "train", lambda folder: Exact())
    monkeypatch.setattr(drift.QwenImage, "from_pretrained", lambda folder: Painter(4, SECOND))
    file = tmp_path / "drift.json"
    options = ["--posters", "14", "--captions", "4", "--to", str(file)]
    assert drift.main(options) == 0
    stored = json.loads(file.read_text())
    assert drift.table(stored) == capsys.readouterr().out.strip("\n")
    assert {"machine", "versions", "commit", "command"} <= stored.keys()
    assert set(stored["painted"]) == {"second edition"}


@pytest.mark.parametrize("option", ["--posters", "--captions"])
def test_nothing_to_judge_is_refused(option, capsys):
    with pytest.raises(SystemExit) as exit:
        drift.main([option, "0"])
    assert exit.value.code == 2 and "must be at least 1" in capsys.readouterr().err


def test_the_record_holds_what_the_readme_says():
    stored = json.loads(drift.RECORD.read_text())
    first, second = (stored["true posters"][f"{n} edition"] for n in ("first", "second"))
    assert first["all"]["judge accepts right"]["right"] == stored["posters"] == 1400
    assert first["all"]["judge accepts near miss"]["right"] == 0
    assert second["all"]["judge accepts right"]["right"] == 574
    several = second["several equal shapes"]
    assert several["judge accepts near miss"] == several["judge accepts right"]
    painted = stored["painted"]["first edition"]
    failures = painted["reader"]["of"] - painted["reader"]["right"]
    assert failures == painted["judge less reader"]["first_only"] == 7

"""GRPO on posters: the bad reward, and a survey of three runs that resumes."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.course.show import pocket_folder
from qwenimage_ref.evaluate import rewarded
from qwenimage_ref.evaluate.hard_captions import QUESTIONS, training
from qwenimage_ref.evaluate.seed_by_seed import Options
from qwenimage_ref.posters.draw import draw
from qwenimage_ref.provenance import write_record


def test_the_bad_reward_sees_strong_colours_and_no_prompt():
    gray, red = (Image.new("RGB", (8, 8), colour) for colour in ("gray", "red"))
    half = Image.fromarray(np.hstack([np.asarray(gray), np.asarray(red)]))
    assert rewarded.vivid([gray, half, red], "") == pytest.approx([0, 0.5, 1])


def test_the_runs_of_the_bad_reward_differ_in_the_kl_alone():
    free, held = rewarded.HACKS.values()
    assert free.choices.beta == 0 < held.choices.beta
    same = dataclasses.replace(held, choices=dataclasses.replace(held.choices, beta=0.0))
    assert same == free


@pytest.fixture
def small(monkeypatch):
    """The survey's runs with one group of two pictures and two sampling steps"""
    for name, value in (("CAPTIONS", 3), ("SHOWN", 2)):
        monkeypatch.setattr(rewarded, name, value)

    def smaller(each):
        recipe = dataclasses.replace(each.recipe, steps=1, batch=1)
        choices = dataclasses.replace(each.choices, group=2, steps=2, rank=2)
        return dataclasses.replace(each, recipe=recipe, choices=choices)

    monkeypatch.setattr(rewarded, "MAIN", smaller(rewarded.MAIN))
    hacks = {name: smaller(each) for name, each in rewarded.HACKS.items()}
    monkeypatch.setattr(rewarded, "HACKS", hacks)


def test_a_survey_measures_each_run_with_its_own_adapter(monkeypatch, tmp_path, small):
    pipe, asked = QwenImage.from_pretrained(pocket_folder()), []

    def answers(pipe, trials, *setting):
        asked.append(len(lora.adapters(pipe.transformer)))
        return {name: "01" for name in QUESTIONS} | {"marks": [0.5, 1.0]}

    def paint(pipe, trials, *setting, quiet=False):
        return [Image.fromarray(draw(trial.scene, 0)) for trial in trials]

    monkeypatch.setattr(rewarded, "answers", answers)
    monkeypatch.setattr(rewarded, "paint", paint)
    monkeypatch.setattr(rewarded, "held_out", lambda count, threes: training(4))
    options = Options(2, 1, 0, tmp_path / "runs", tmp_path / "record.json", beta=0.0)
    before = torch.cat([weight.flatten() for weight in pipe.transformer.parameters()])
    rewarded.survey(pipe, options, {"weights": "none"}, options.to)
    after = torch.cat([weight.flatten() for weight in pipe.transformer.parameters()])
    assert torch.equal(before, after) and not lora.adapters(pipe.transformer)
    assert asked == [0, 0, 1, 1]
    stored = json.loads(options.to.read_text())
    assert stored["log"][-1]["step"] == 1
    assert stored["hacks"]["runs"]["base"]["right"]["mean"] == 1.0
    assert [*stored["hacks"]["runs"]] == ["base", "0", "1"]
    with Image.open(tmp_path / "record.png") as picture:
        assert picture.size == (2 * 132 - 4, 3 * 132 - 4)


def test_a_run_without_the_kl_has_a_record_of_its_own(monkeypatch, tmp_path, capsys):
    asked = []

    def survey(pipe, options, terms, file):
        asked.append((options.beta, options.to.name))
        write_record(terms, file)

    monkeypatch.setattr(rewarded, "survey", survey)
    monkeypatch.setattr(rewarded, "RECORD", tmp_path / "rewarded.json")
    for options in ([], ["--beta", "0"]):
        assert rewarded.main(["--captions", "2", "--seeds", "0", *options]) == 0
    usual = rewarded.MAIN.choices.beta
    assert asked == [(usual, "rewarded.json"), (0.0, "rewarded_0.json")] and usual > 0
    assert rewarded.main(["--beta", "-0.1"]) == 2
    assert "--beta must be at least 0 and finite, got -0.1" in capsys.readouterr().err

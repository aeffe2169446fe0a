"""DPO on posters: whose picture wins, and a record that is measured once and resumes."""

import dataclasses
import json

import pytest
import torch

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.course.show import pocket_folder
from qwenimage_ref.evaluate import hard_captions, preferred
from qwenimage_ref.evaluate.hard_captions import QUESTIONS
from qwenimage_ref.evaluate.seed_by_seed import Options
from qwenimage_ref.provenance import write_record


@pytest.fixture(scope="module")
def pipe():
    return QwenImage.from_pretrained(pocket_folder())


def painted(marks):
    """Stands in for painting: latents of which each number is its picture's mark"""

    def paint(pipe, trials):
        values = torch.tensor(marks)
        return {
            "latents": values[..., None, None, None].expand(-1, -1, 16, 16, 16).contiguous(),
            "marks": values,
        }

    return paint


def test_the_better_marked_of_two_pictures_is_the_winner_and_equal_ones_are_no_pair(
    monkeypatch, tmp_path, pipe
):
    marks = [[0.5, 1.0], [1.0, 0.25], [1.0, 1.0]]
    monkeypatch.setattr(preferred, "_painted", painted(marks))
    pairs = preferred.pairs(pipe, tmp_path, 3, quiet=True)
    assert [(x.winner.mean().item(), x.loser.mean().item()) for x in pairs] == [(1, 0.5), (1, 0.25)]
    texts = [hard_captions.text_states(pipe, trial.prompt) for trial in hard_captions.training(3)]
    assert all(torch.equal(pair.txt, txt) for pair, txt in zip(pairs, texts))


def test_pairs_are_painted_once(monkeypatch, tmp_path, pipe):
    monkeypatch.setattr(preferred, "_painted", painted([[0.5, 1.0]]))
    preferred.pairs(pipe, tmp_path, 1, quiet=True)
    monkeypatch.setattr(preferred, "_painted", None)
    assert len(preferred.pairs(pipe, tmp_path, 1, quiet=True)) == 1


def test_a_survey_trains_measures_and_leaves_the_base_as_it_was(monkeypatch, tmp_path, pipe):
    monkeypatch.setattr(preferred, "POSTERS", 4)
    monkeypatch.setattr(preferred, "_painted", painted([[0.5, 1.0]] * 4))
    monkeypatch.setattr(preferred, "RECIPE", dataclasses.replace(preferred.RECIPE, batch=1))
    asked = []

    def answers(pipe, trials, *setting):
        asked.append(len(lora.adapters(pipe.transformer)))
        return {name: "01" for name in QUESTIONS} | {"marks": [0.5, 0.25 * len(asked)]}

    monkeypatch.setattr(preferred, "answers", answers)
    monkeypatch.setattr(preferred, "held_out", lambda count: [])
    options = Options(2, 2, 0, tmp_path / "runs", tmp_path / "record.json", beta=2000.0)
    record = preferred.survey(pipe, options, {"weights": "none"}, options.to)
    assert asked == [0, 0, 1, 1] and not lora.adapters(pipe.transformer)
    stored = json.loads(options.to.read_text())
    assert stored["pairs"] == 4 and stored["results"] == json.loads(json.dumps(record["results"]))
    assert stored["log"][-1]["step"] == 2 and "reference_loser" in stored["log"][-1]
    wins = record["results"]["20 steps, guidance 4"]["wins"]
    assert (wins["right"], wins["of"], wins["equal"]) == (1, 1, 1)


def test_another_beta_has_a_record_of_its_own(monkeypatch, tmp_path, capsys):
    asked = []

    def survey(pipe, options, terms, file):
        asked.append((options.beta, terms["beta"], options.to.name))
        write_record(terms, file)

    monkeypatch.setattr(preferred, "survey", survey)
    monkeypatch.setattr(preferred, "RECORD", tmp_path / "preferred.json")
    few = ["--captions", "2", "--seeds", "0"]
    for options in ([], ["--beta", "100"], ["--beta", "0.5"]):
        assert preferred.main([*few, *options]) == 0
    records = ("preferred.json", "preferred_100.json", "preferred_0.5.json")
    assert asked == [(b, b, name) for b, name in zip((preferred.BETA, 100.0, 0.5), records)]
    assert all((tmp_path / name).exists() for name in records)
    assert preferred.main([*few, "--beta", "-1"]) == 2
    assert "--beta must be above 0 and finite, got -1.0" in capsys.readouterr().err


def test_a_record_of_one_beta_is_none_of_another(monkeypatch, tmp_path):
    asked, to = [], str(tmp_path / "record.json")
    monkeypatch.setattr(
        preferred, "survey", lambda p, o, terms, f: asked.append(o.beta) or write_record(terms, f)
    )
    for beta in ("100", "200"):
        preferred.main(["--captions", "2", "--seeds", "0", "--to", to, "--beta", beta])
    assert asked == [100.0, 200.0]

"""The curriculum and its control at a tenth of the compute: equal work, and all in miniature"""

import dataclasses
import functools
import json

import pytest

from qwenimage_ref import QwenImage
from qwenimage_ref.evaluate import short_curriculum
from qwenimage_ref.pocket import curriculum, sibling, train
from qwenimage_ref.pocket.curriculum import CONTROL, PHASES, work


def test_both_painters_have_a_tenth_of_the_work_with_posters_of_the_whole_training():
    arms = short_curriculum.arms()
    done = {name: sum(map(work, arm.values())) for name, arm in arms.items()}
    whole = sum(map(work, PHASES.values()))
    assert done["curriculum"] == pytest.approx(whole / 10, rel=1e-3)
    assert done["control"] == pytest.approx(done["curriculum"], rel=1e-3)
    for name, phase in arms["curriculum"].items():
        assert phase.posters % phase.recipe.batch == 0
        assert phase.posters == pytest.approx(PHASES[name].posters / 10, rel=0.02)
        numbers = range(0, phase.posters, 97)
        assert [phase.scene(n) for n in numbers] == [PHASES[name].scene(n) for n in numbers]
    short, long = arms["control"]["control"], CONTROL["control"]
    assert short.posters < long.posters and short.mixture == long.mixture
    assert (short.first, short.recipe.batch) == (long.first, long.recipe.batch)


def test_the_rates_of_both_fall_over_as_many_steps():
    arms = short_curriculum.arms()
    falling = [
        (1 - phase.recipe.decay_from) * phase.recipe.steps
        for phase in (arms["curriculum"]["everything"], arms["control"]["control"])
    ]
    assert falling[0] == pytest.approx(falling[1], rel=0.01)


@pytest.fixture
def small(monkeypatch):
    """Very small painters, a handful of posters, four a step, and no judge"""
    monkeypatch.setattr(train, "CHUNK", 8)
    for name, phase in PHASES.items():
        recipe = dataclasses.replace(phase.recipe, batch=4, steps=4, warmup=2)
        monkeypatch.setitem(PHASES, name, dataclasses.replace(phase, posters=16, recipe=recipe))
    text = train.text_config(curriculum.TOKENS)
    configs = (
        dataclasses.replace(text, num_hidden_layers=1),
        dataclasses.replace(sibling.MMDIT, num_layers=1, joint_attention_dim=192),
    )
    second = short_curriculum.second()
    small = dataclasses.replace(second, configs=configs)
    monkeypatch.setattr(short_curriculum, "second", lambda: small)


def test_the_command_trains_both_and_compares_them(small, tmp_path, monkeypatch, capsys):
    paint = functools.partial(short_curriculum.paint, steps=2, cfg=1, quiet=True)
    monkeypatch.setattr(short_curriculum, "paint", paint)
    monkeypatch.setattr(short_curriculum, "BATCHES", 2)
    file, runs = tmp_path / "record.json", tmp_path / "runs"
    options = ["--share", "2", "--captions", "4", "--runs", str(runs), "--to", str(file)]
    assert short_curriculum.main([*options, "--only", "control"]) == 0
    assert not file.exists() and not (runs / "curriculum").exists()
    assert short_curriculum.main(options) == 0
    record = json.loads(file.read_text())
    assert record["steps"]["curriculum"] == 6 and record["share"] == 2
    assert "\nscene {'of': 4, " in capsys.readouterr().out
    for name, lessons in (("curriculum", list(PHASES)), ("control", ["control"])):
        assert sorted(record[name]["curves"]) == sorted(lessons)
        assert len(record[name]["losses"]) == 2
        pipe = QwenImage.from_pretrained(runs / name / "model")
        (picture,) = pipe("three red circles", " ", height=96, width=176, num_inference_steps=2)
        assert picture.size == (176, 96)


def test_painters_are_compared_caption_by_caption_and_batch_by_batch():
    bits = {part: "0011" for part in short_curriculum.PARTS}
    better = {"losses": [0.2, 0.3], "bits": bits | {"word": "1111"}}
    worse = {"losses": [0.3, 0.5], "bits": bits}
    result = short_curriculum.compared({"curriculum": better, "control": worse})
    assert result["loss"]["paired"]["mean"] == pytest.approx(-0.15)
    assert result["loss"]["control"]["mean"] == pytest.approx(0.4)
    word, scene = result["rows"]["word"], result["rows"]["scene"]
    assert word["paired"]["difference"] == 0.5 and scene["paired"]["difference"] == 0
    assert (word["curriculum"]["right"], word["control"]["right"]) == (4, 2)


def test_the_losses_are_of_posters_that_no_lesson_has(small):
    assert all(phase.first + phase.posters <= short_curriculum.UNSEEN for phase in PHASES.values())
    assert CONTROL["control"].first + CONTROL["control"].posters <= short_curriculum.UNSEEN


def test_the_losses_are_small_for_the_pocket_model_and_of_other_noise_each(
    small, tmp_path, monkeypatch
):
    monkeypatch.setattr(short_curriculum, "BATCHES", 2)
    pipe = QwenImage.from_pretrained(short_curriculum.POCKET)
    losses = short_curriculum.unseen_losses(pipe, tmp_path)
    drawn = []

    def flow_step(mmdit, data, noise, sigma, txt, mask):
        drawn.append((data.shape, txt.shape[:2] == mask.shape, sigma))
        return (data - data).mean()

    monkeypatch.setattr(short_curriculum, "flow_step", flow_step)
    assert short_curriculum.unseen_losses(pipe, tmp_path) == [0.0, 0.0]
    assert all(0.01 < loss < 0.3 for loss in losses)  # of the pocket model itself
    assert all(shape[:2] == (4, 16) and masked for shape, masked, _ in drawn)
    assert not (drawn[0][2] == drawn[1][2]).all()

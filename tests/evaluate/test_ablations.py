"""Short equal trainings: stopped and taken up again, measured alike, compared in pairs."""

import dataclasses
import json

import pytest
import torch

from qwenimage_ref.evaluate import ablations
from qwenimage_ref.evaluate.ablation_variants import VARIANTS
from qwenimage_ref.evaluate.intervals import interval
from qwenimage_ref.pocket import sibling, train
from qwenimage_ref.pocket.lessons import trained_scenes
from qwenimage_ref.train import loop

STAGES = list(ablations.STAGES)  # as they are: the fixture below shortens them


RECIPE = dataclasses.replace(sibling.LESSON.recipe, steps=3, batch=4)
LESSON = dataclasses.replace(sibling.LESSON, recipe=RECIPE, posters=16)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Three steps on sixteen posters, two captions."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (train, "CHUNK", 8),
            (ablations, "CHUNK", 8),
            (ablations, "MEASURED", 16),
            (ablations, "STAGES", (1, 3)),
            (ablations, "LOG_EVERY", 1),
            (loop, "LOG_EVERY", 1),
        ):
            patch.setattr(module, name, value)
        yield ablations.Bench(tmp_path_factory.mktemp("ablate"), LESSON, captions=2)


def weights(run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.weights])


def test_captions_are_of_scenes_that_no_lesson_shows():
    made = ablations.trials(LESSON, 60)
    assert not {trial.scene for trial in made} & (trained_scenes() | LESSON.scenes())
    assert not any(trial.scene.word for trial in made)
    assert [trial.seed for trial in made] == list(range(60))


def test_the_final_loss_is_of_posters_that_no_variant_is_shown(bench):
    shown = range(LESSON.first, LESSON.first + LESSON.posters)
    assert bench.unseen.first not in shown and bench.unseen.word_share == LESSON.word_share


def test_a_result_names_loss_cost_and_what_is_right(bench):
    found = bench.result("baseline")
    assert 1.5 < found["loss"] < 2.5  # of untrained weights: noise and data are of variance one
    assert found["seconds_per_step"] > 0
    assert found["parameters"] == sum(p.numel() for p in sibling.new().parameters())
    assert {part: len(bits) for part, bits in found["right"].items()} == dict.fromkeys(
        ablations.PARTS, 2
    )


def test_a_result_is_measured_once(bench, monkeypatch):
    found = bench.result("baseline")
    monkeypatch.setattr(bench, "train", None)
    assert bench.result("baseline") == found


def test_a_variant_that_is_only_sampled_is_not_trained(bench):
    found = bench.result("no average")
    assert found["seconds_per_step"] == bench.result("baseline")["seconds_per_step"]
    assert found["loss"] != bench.result("baseline")["loss"]
    assert not (bench.folder / "no average" / "state.safetensors").exists()


def test_each_stage_of_the_baseline_is_kept_and_painted(bench, monkeypatch):
    bench.result("baseline")
    monkeypatch.setattr(ablations, "SHOWN", ablations.SHOWN[:1])
    stages, pictures = bench.stages()
    assert [stage["step"] for stage in stages] == [1, 3]
    assert stages[1]["loss"] == bench.result("baseline")["loss"]
    assert pictures.shape == (128, 256, 3)


class Killed(BaseException):
    """Ends a training where it stands: nothing is saved, nothing cleaned up."""


def test_a_training_that_was_stopped_ends_with_the_same_weights(bench, tmp_path, monkeypatch):
    again, loss_of, calls = ablations.Bench(tmp_path, LESSON, captions=2), sibling.loss_of, []

    def deadly(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return loss_of(*arguments)

    monkeypatch.setattr(sibling, "loss_of", deadly)
    with pytest.raises(Killed):
        again.train("baseline")
    assert torch.equal(weights(again.train("baseline")), weights(bench.train("baseline")))
    assert len(calls) == 5  # the first step was not done again


def test_the_seconds_of_a_step_leave_out_other_work_and_new_beginnings(tmp_path):
    clock = [(1, 7.0), (2, 7.5), (4, 8.5), (5, 0.2), (6, 0.7)]
    lines = [json.dumps({"step": step, "processor": at}) for step, at in clock]
    (tmp_path / "log").write_text("\n".join(lines))
    assert ablations.seconds_per_step(tmp_path / "log") == pytest.approx(0.5)


def test_variants_are_compared_caption_by_caption():
    def found(bits):
        cost = {"loss": 0.1, "seconds_per_step": 0.2, "parameters": 3}
        return cost | {"right": dict.fromkeys(ablations.PARTS, bits)}

    rows = ablations.compared({"baseline": found("1100"), "AdamW": found("0110")})
    assert rows["AdamW"]["rows"]["colours"] == interval(2, 4)
    against = rows["AdamW"]["against_baseline"]
    assert (against["first_only"], against["second_only"], against["difference"]) == (1, 1, 0)


def test_a_variant_that_nobody_knows_is_one_line(capsys):
    with pytest.raises(SystemExit):
        ablations.main(["no norms"])
    assert "NAME must be one of baseline, " in capsys.readouterr().err


# ---- what is recorded


@pytest.fixture(scope="module")
def recorded():
    return json.loads(ablations.RECORD.read_text(encoding="utf-8"))


def test_every_variant_is_recorded_with_the_captions_it_was_asked(recorded):
    assert recorded["variants"].keys() == VARIANTS.keys()
    assert recorded["captions"] == ablations.CAPTIONS >= 200
    for name, row in recorded["variants"].items():
        assert len(row["bits"]) == ablations.CAPTIONS, name
        right = interval(row["bits"].count("1"), ablations.CAPTIONS)
        assert row["rows"][ablations.COMPARED] == right, name


def test_the_recorded_recipe_is_the_one_in_the_code(recorded):
    recipe = json.loads(json.dumps(dataclasses.asdict(sibling.LESSON.recipe)))
    assert recorded["recipe"] == recipe
    assert [stage["step"] for stage in recorded["stages"]] == STAGES

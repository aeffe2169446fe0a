"""Short equal trainings: stopped and taken up again, measured alike, compared in pairs."""

import dataclasses
import json
import math

import pytest
import torch

from qwenimage_ref.evaluate import ablation_table, ablations
from qwenimage_ref.evaluate.ablation_variants import VARIANTS
from qwenimage_ref.evaluate.intervals import against, interval
from qwenimage_ref.pocket import sibling, train
from qwenimage_ref.pocket.curriculum import work
from qwenimage_ref.posters.scene import SMALL, SQUARE
from qwenimage_ref.sampler import shift_at
from qwenimage_ref.train import loop

STAGES = list(ablations.STAGES)  # as they are: the fixture below shortens them


RECIPE = dataclasses.replace(sibling.LESSON.recipe, steps=3, batch=4)
LESSON = dataclasses.replace(ablations.LESSON, recipe=RECIPE, posters=16)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Three steps on sixteen posters, two captions."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in (
            (train, "CHUNK", 8),
            (ablations, "CHUNK", 8),
            (ablations, "MEASURED", 16),
            (ablations, "BATCH", 8),
            (ablations, "STAGES", (1, 3)),
            (ablations, "LOG_EVERY", 1),
            (loop, "LOG_EVERY", 1),
        ):
            patch.setattr(module, name, value)
        yield ablations.Bench(tmp_path_factory.mktemp("ablate"), LESSON, captions=2)


def weights(run) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in run.weights])


def test_captions_are_of_scenes_that_no_poster_shows_in_any_size():
    trial_list = ablations.trials(LESSON, 60)
    asked, shown = (
        {dataclasses.replace(scene, size=SQUARE) for scene in scenes}
        for scenes in ((trial.scene for trial in trial_list), LESSON.scenes())
    )
    assert not asked & shown
    assert not any(trial.scene.word for trial in trial_list)
    assert len({trial.scene.size for trial in trial_list}) == len(ablations.SIZES)
    assert [trial.seed for trial in trial_list] == list(range(60))


def test_the_final_loss_is_of_posters_that_no_variant_is_shown_and_alike_for_all_seeds(bench):
    other = ablations.Bench(bench.folder, LESSON, seed=1, captions=2)
    assert len(bench.unseen) == 2
    for first, second in zip(bench.unseen, other.unseen):
        assert all(map(torch.equal, first, second))
    trained = [bench.latents[[place]][0] for place in range(LESSON.posters)]
    for _, _, data, *_ in bench.unseen:
        assert len(data) == 8
        assert not any(torch.equal(a, b) for a in data for b in trained if a.shape == b.shape)


def test_seeds_train_in_folders_of_their_own_from_weights_of_their_own(bench):
    other = ablations.Bench(bench.folder, LESSON, seed=1, captions=2)
    assert other.own("AdamW") != bench.own("AdamW")
    assert not torch.equal(weights(other.train("baseline")), weights(bench.train("baseline")))


def test_small_pictures_come_first_where_they_shall(bench, monkeypatch):
    sides, own = [], ablations.batch

    def seen(*arguments):
        drawn = own(*arguments)
        sides.append(tuple(drawn[2].shape[2:]))
        return drawn

    monkeypatch.setattr(ablations, "batch", seen)
    variant = dataclasses.replace(VARIANTS["small pictures first"], recipe=(), small=2)
    monkeypatch.setitem(VARIANTS, "small pictures first", variant)
    bench.train("small pictures first")
    small = tuple(side // 8 for side in SMALL)
    assert sides[:2] == [small, small] and sides[2] != small


def test_small_pictures_first_cost_as_much_as_the_baseline():
    variant, phase = VARIANTS["small pictures first"], ablations.LESSON
    small = dataclasses.replace(phase, mixture=dataclasses.replace(phase.mixture, sizes=(SMALL,)))
    later = dict(variant.recipe)["steps"] - variant.small
    cost = work(small, variant.small) + work(phase, later)
    assert cost == pytest.approx(work(phase), rel=0.02)


def test_a_result_names_loss_cost_and_what_is_right(bench):
    found = bench.result("baseline")
    assert 1.5 < found["loss"] < 2.5  # of untrained weights: noise and data are of variance one
    assert found["seconds_per_step"] > 0
    assert found["parameters"] == sum(p.numel() for p in sibling.new().parameters())
    assert {part: len(bits) for part, bits in found["right"].items()} == dict.fromkeys(
        ablations.PARTS, 2
    )


def test_a_variant_of_the_sampler_is_painted_with_it(bench, monkeypatch):
    seen = []
    monkeypatch.setattr(ablations, "paint", lambda pipe, *_, **__: seen.append(pipe.scheduler))
    for name in ("baseline", "sampler unshifted"):
        bench.paint(sibling.new(), bench.trials, VARIANTS[name])
    assert seen[0] == bench.pipe.scheduler
    assert shift_at(64, seen[1]) == pytest.approx(1, abs=1e-4) and shift_at(64, seen[0]) > 1.5


def test_a_result_is_measured_once(bench, monkeypatch):
    found = bench.result("baseline")
    monkeypatch.setattr(bench, "train", None)
    assert bench.result("baseline") == found


def test_a_variant_that_is_only_sampled_is_not_trained(bench):
    found = bench.result("no average")
    assert found["seconds_per_step"] == bench.result("baseline")["seconds_per_step"]
    assert found["loss"] != bench.result("baseline")["loss"]
    assert not (bench.own("no average") / "state.safetensors").exists()


def test_each_stage_of_the_baseline_is_kept_and_painted(bench, monkeypatch):
    bench.result("baseline")
    monkeypatch.setattr(ablations, "SHOWN", ablations.SHOWN[:1])
    stages = bench.stages()
    assert [stage["step"] for stage in stages] == [1, 3]
    assert stages[1]["loss"] == bench.result("baseline")["loss"]
    assert ablations.strip(bench).shape == (128, 256, 3)


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


def test_variants_are_compared_seed_by_seed():
    def measured(bits, loss):
        cost = {"loss": loss, "seconds_per_step": 0.2, "parameters": 3}
        return cost | {"right": dict.fromkeys(ablations.PARTS, bits)}

    base = [measured("1100", 0.1), measured("1000", 0.2)]
    other = [measured("0110", 0.3), measured("0000", 0.3)]
    results = {"baseline": base, "AdamW": other, "no guidance": other}
    rows = ablation_table.compared(results)
    assert [one["rows"][ablation_table.COMPARED] for one in rows["AdamW"]["seeds"]] == [
        interval(2, 4),
        interval(0, 4),
    ]
    shares = {"baseline": [0.5, 0.25], "AdamW": [0.5, 0.0]}
    assert rows["AdamW"]["difference"] == against(shares, "baseline")["AdamW"]
    ratio = (math.log(0.3 / 0.1) + math.log(0.3 / 0.2)) / 2
    assert rows["AdamW"]["log_loss_difference"]["mean"] == pytest.approx(ratio, abs=1e-5)
    assert rows["baseline"]["difference"] is None
    # what is painted with the baseline's weights is compared apart, and by its pictures alone
    assert rows == ablation_table.compared(results | {"no guidance": other[::-1]}) | {
        "no guidance": rows["no guidance"]
    }
    assert rows["no guidance"]["difference"] == rows["AdamW"]["difference"]
    assert rows["no guidance"]["log_loss_difference"] is None


def test_a_variant_that_nobody_knows_is_one_line(capsys):
    with pytest.raises(SystemExit):
        ablations.main(["no norms"])
    assert "NAME must be one of baseline, " in capsys.readouterr().err


# ---- what is recorded


@pytest.fixture(scope="module")
def recorded():
    return json.loads(ablations.RECORD.read_text(encoding="utf-8"))


def test_every_variant_is_recorded_with_every_seed_and_the_captions_it_was_asked(recorded):
    assert recorded["variants"].keys() == VARIANTS.keys()
    assert recorded["captions"] == ablations.CAPTIONS
    assert ablations.CAPTIONS * len(ablations.SEEDS) >= 400
    assert recorded["numbers of seeds"] == list(ablations.SEEDS) and len(ablations.SEEDS) >= 3
    for name, row in recorded["variants"].items():
        assert len(row["seeds"]) == len(ablations.SEEDS)
        for one in row["seeds"]:
            assert len(one["bits"]) == ablations.CAPTIONS, name
            right = interval(one["bits"].count("1"), ablations.CAPTIONS)
            assert one["rows"][ablation_table.COMPARED] == right, name


def test_recorded_differences_are_those_of_the_recorded_shares(recorded):
    for retrained in (True, False):
        shares = {
            name: [one["rows"][ablation_table.COMPARED]["share"] for one in row["seeds"]]
            for name, row in recorded["variants"].items()
            if name == "baseline" or row["retrained"] is retrained
        }
        again = against(shares, "baseline")
        assert {name: recorded["variants"][name]["difference"] for name in again} == again


def test_readme_gives_the_recorded_differences_of_the_loss(recorded):
    text = " ".join((ablations.MEASUREMENTS.parents[1] / "README.md").read_text("utf-8").split())
    phrases = {
        "AdamW": "AdamW in place of Muon raises it by {} %",
        "sigma uniform": "uniform noise levels by {} %",
        "sigma unshifted": "unshifted ones by {} %",
        "constant rate": "a rate that never falls lowers it by {} %",
        "no caption dropout": "leaving out caption dropout, by {} %",
    }
    for name, phrase in phrases.items():
        ratio = math.exp(recorded["variants"][name]["log_loss_difference"]["mean"])
        assert phrase.format(f"{abs(100 * (ratio - 1)):.0f}") in text, name


def test_the_recorded_recipe_is_the_one_in_the_code(recorded):
    recipe = json.loads(json.dumps(dataclasses.asdict(ablations.LESSON.recipe)))
    assert recorded["recipe"] == recipe
    assert [stage["step"] for stage in recorded["stages"]] == STAGES

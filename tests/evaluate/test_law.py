"""The study of size, steps and data: branches of one run, rows once measured, and the floor."""

import dataclasses
import json

import pytest
import torch

from qwenimage_ref.evaluate import law, law_floor
from qwenimage_ref.train.loop import Recipe

RECIPE = Recipe(10, 2, 1e-3, warmup=2, muon_lr=2e-3, decay_from=1.0, ema=0.9)
FULL = law.Law()
SMALL = law.Law(
    dataclasses.replace(FULL.phase, recipe=RECIPE, posters=8),
    stops=(5, 10), few={4: "2x48"}, few_steps=5, measured=4, captions=2, drawn=(2, 3),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(law, "WIDTHS", {"2x48": (2, 1)})
        patch.setattr("qwenimage_ref.pocket.train.CHUNK", 8)
        yield


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return law.Laboratory(tmp_path_factory.mktemp("law"), SMALL)


def test_a_branch_is_the_training_of_its_length_from_the_start(lab):
    trunk = lab.run("2x48", SMALL.phase, "trunk")
    branch = lab.branch(trunk, "2x48", 5)
    assert (trunk.step, branch.step) == (4, 5)
    phase = SMALL.of(5, law.DECAYED)
    alone = lab.run("2x48", phase, "alone")
    lab.fit(alone, phase)
    assert all(map(torch.equal, branch.weights, alone.weights))
    assert all(map(torch.equal, branch.average, alone.average))


def test_a_branch_is_not_trained_again(lab):
    trunk = lab.run("2x48", SMALL.phase, "trunk 2")
    stamp = lab.branch(trunk, "2x48", 10).files.state_stamp()
    assert trunk.step == 8
    lab.branch(trunk, "2x48", 10)
    assert trunk.step == 8 and stamp is not None


def test_a_rate_falls_in_the_last_fifth_alone():
    recipe = FULL.of(1000, law.DECAYED).recipe
    assert recipe.lr_at(800) == recipe.lr == FULL.phase.recipe.lr_at(1900)
    assert recipe.lr_at(999) < 0.01 * recipe.lr


def test_each_size_has_more_weights_than_the_one_before(monkeypatch):
    monkeypatch.undo()
    widths = {"2x48": (2, 1), "4x96": (4, 2), "6x144": (6, 3), "8x192": (8, 4)}
    monkeypatch.setattr(law, "WIDTHS", widths)
    weights = [sum(p.numel() for p in law.network(size, 0).parameters()) for size in widths]
    assert all(b > 2 * a for a, b in zip(weights, weights[1:])) and weights[-1] == 10_887_040


def test_captions_are_of_scenes_on_which_nothing_is_trained(lab):
    scenes = {trial.scene for trial in lab.trials}
    assert len(lab.trials) == 2 and not scenes & lab.law.phase.scenes()


def test_the_record_has_a_row_for_each_branch_and_for_each_number_of_posters(tmp_path):
    record = json.loads(json.dumps(law.measure(tmp_path, SMALL)))
    rows = [(row["size"], row["steps"], row["posters"]) for row in record["rows"]]
    assert rows == [("2x48", 5, 8), ("2x48", 10, 8), ("2x48", 5, 4)]
    assert all(len(row["losses"]) == len(law.LEVELS) for row in record["rows"])
    assert record["rows"][0]["right"]["background"]["of"] == 2
    assert all(a <= b for a, b in zip(record["floor"]["low"], record["floor"]["high"]))
    # measured once: a second call reads the rows
    file = tmp_path / "2x48-5" / "row.json"
    file.write_text(json.dumps(record["rows"][0] | {"steps": -1}))
    assert law.measure(tmp_path, SMALL)["rows"][0]["steps"] == -1
    shorter = dataclasses.replace(SMALL, longest={"2x48": 5})
    assert [row["steps"] for row in law.measure(tmp_path, shorter)["rows"]] == [-1, 5]


# -- the floor -------------------------------------------------------------------------------------


def test_of_two_posters_far_apart_nothing_remains_and_in_much_noise_their_variance():
    clean = torch.tensor([[-1.0], [1.0]]).repeat(1, 4)
    noise = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    low, high = law_floor.remaining(clean, noise, 0.05)
    assert low < 1e-6 and high == pytest.approx(4 / 0.05**2)  # the other one is two away
    many = clean.repeat(500, 1)
    noise = torch.randn(many.shape, generator=torch.Generator().manual_seed(1))
    low, high = law_floor.remaining(many, noise, 0.999)
    assert low == pytest.approx(1, abs=0.02) and high == pytest.approx(low, abs=0.01)


def test_the_floor_of_gaussian_posters_is_the_formulas():
    """x0 ~ N(0, 1) has Var(x0 | x) = sigma^2 / ((1 - sigma)^2 + sigma^2)."""
    rng = torch.Generator().manual_seed(2)
    clean, noise = torch.randn(4000, 1, generator=rng), torch.randn(4000, 1, generator=rng)
    for level in (0.3, 0.6, 0.9):
        exact = 1 / ((1 - level) ** 2 + level**2)
        low, high = law_floor.remaining(clean, noise, level)
        assert low <= high and low == pytest.approx(exact, rel=0.06)

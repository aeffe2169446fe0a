"""DPO: where a fresh adapter starts, what both pictures share, what is logged and refused."""

import csv
import json
import math

import pytest
import torch
from helpers.nets import SMALL, addresses, filled, model, recorded_passes
from helpers.resumed import assert_same_state, kill_at

from qwenimage_ref.adapt import lora
from qwenimage_ref.train import preference
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.preference import (
    Comparison,
    Preference,
    dpo_loss,
    errors_of_both,
    loss_of,
    train,
)
from qwenimage_ref.train.recompute import recompute

RECIPE = Recipe(steps=6, batch=2, lr=1e-3, warmup=1, decay_from=1.0, ema=0.0)
SETTINGS = Preference(rank=2, alpha=2, targets="musubi")


def comparisons(count=4) -> list[Comparison]:
    rng = torch.Generator().manual_seed(0)
    return [
        Comparison(
            torch.randn(16, 4, 6, generator=rng),
            torch.randn(16, 4, 6, generator=rng),
            torch.randn(3 + i % 2, SMALL.joint_attention_dim, generator=rng),
        )
        for i in range(count)
    ]


def trained(folder, mmdit=None, settings=SETTINGS, **fit):
    return train(mmdit or model(), comparisons(), RECIPE, settings, folder, quiet=True, **fit)


def fresh(settings=SETTINGS):
    mmdit = model()
    adapter = lora.inject(mmdit, lora.TARGETS[settings.targets], settings.rank)
    return mmdit, adapter, loss_of(mmdit, adapter, comparisons(), RECIPE, settings)


# -- the loss


def test_a_fresh_adapter_starts_at_ln_2_exactly():
    _, _, loss_at = fresh()
    for number in range(4):
        loss, numbers = loss_at(number)
        assert loss.item() == torch.tensor(2.0).log().item()
        assert numbers["winner"] == numbers["reference_winner"]
        assert numbers["loser"] == numbers["reference_loser"]


def test_winner_and_loser_lie_under_the_same_noise_at_the_same_sigma(monkeypatch):
    calls = []

    def spy(mmdit, latents, noise, sigma, txt, txt_mask):
        calls.append((latents, noise, sigma, txt))
        return torch.zeros(len(latents), 6, 64)

    monkeypatch.setattr(preference, "flow_errors", spy)
    fresh()[2](0)
    assert len(calls) == 2  # reference and policy
    for latents, noise, sigma, txt in calls:
        assert not torch.equal(*latents.chunk(2))
        for shared in (noise, sigma, txt):
            assert torch.equal(*shared.chunk(2))
    assert all(torch.equal(a, b) for a, b in zip(*calls))


def test_the_loss_is_the_formula_on_numbers_taken_by_hand():
    winner, loser = torch.tensor([0.2, 0.5]), torch.tensor([0.3, 0.4])
    reference = torch.tensor([0.25, 0.5]), torch.tensor([0.3, 0.5])
    leads = [(0.2 - 0.3) - (0.25 - 0.3), (0.5 - 0.4) - 0.0]
    by_hand = sum(math.log(1 + math.exp(10 / 2 * lead)) for lead in leads) / 2
    assert dpo_loss(winner, loser, *reference, 10.0).item() == pytest.approx(by_hand, rel=1e-6)


def test_an_error_of_one_picture_does_not_depend_on_the_other():
    mmdit, one = model(), comparisons()[0]
    drawn = torch.randn(1, 16, 4, 6), torch.tensor([0.3]), one.txt[None]
    with torch.no_grad():
        winner, loser = errors_of_both(mmdit, one.winner[None], one.loser[None], *drawn)
        swapped = errors_of_both(mmdit, one.loser[None], one.winner[None], *drawn)
    torch.testing.assert_close(swapped, (loser, winner))


def test_the_reference_is_the_same_network_with_its_adapter_off():
    mmdit, adapter, loss_at = fresh()
    before = loss_at(0)[1]
    filled(adapter)
    after = loss_at(0)[1]
    assert after["reference_winner"] == before["reference_winner"] != after["winner"]
    assert adapter.scale == 1.0
    assert sum(1 for _ in mmdit.modules()) == sum(1 for _ in model().modules())  # no copy of it


def test_policy_and_reference_are_passes_of_one_network(monkeypatch):
    mmdit, _, loss_at = fresh()
    passes = recorded_passes(monkeypatch)
    loss_at(0)
    assert {one.weights for one in passes} == {addresses(mmdit)}
    assert [one.scale for one in passes] == [0.0, 1.0]  # winner and loser are one batch


def test_a_step_widens_the_lead_of_the_winner(tmp_path):
    run = trained(tmp_path)
    _, numbers = loss_of(run_model(run), run.model, comparisons(), RECIPE, SETTINGS)(0)
    lead = numbers["loser"] - numbers["winner"]
    assert lead > numbers["reference_loser"] - numbers["reference_winner"]


def run_model(run):
    """The network that a run's adapter is on: a new one with the same adapter."""
    mmdit = model()
    adapter = lora.inject(mmdit, lora.TARGETS["musubi"], 2)
    adapter.load_state_dict(run.model.state_dict())
    run.model = adapter
    return mmdit


def test_blocks_that_are_computed_again_give_the_same_gradients():
    def gradients(sparing):
        mmdit = model()
        adapter = filled(lora.inject(mmdit, lora.TARGETS["musubi"], 2))
        if sparing:
            recompute(mmdit)
        loss_of(mmdit, adapter, comparisons(), RECIPE, SETTINGS)(0)[0].backward()
        return [p.grad for p in adapter.parameters() if p.grad is not None]

    for ours, theirs in zip(gradients(True), gradients(False), strict=True):
        assert torch.equal(ours, theirs)


# -- the run


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    kill_at("test_preference", 3, tmp_path / "killed")
    resumed = trained(tmp_path / "killed")
    assert resumed.step == RECIPE.steps
    trained(tmp_path / "whole")
    assert_same_state(tmp_path / "killed", tmp_path / "whole")


def test_the_four_error_curves_are_in_the_log_and_in_its_table(tmp_path):
    trained(tmp_path)
    line = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    names = {"winner", "loser", "reference_winner", "reference_loser"}
    assert names < line.keys()
    with (tmp_path / "log.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert {key: float(value) for key, value in row.items()} == line


def test_an_adapter_of_another_rank_is_not_taken_up_and_both_ranks_are_named(tmp_path):
    trained(tmp_path, until=1)
    other = Preference(rank=3, alpha=2, targets="musubi")
    with pytest.raises(ValueError, match=r"another recipe \(rank 2 there, 3 here\)") as refused:
        trained(tmp_path, settings=other)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong, complaint",
    [
        ({"beta": 0.0}, "beta must be above 0 and finite, got 0.0"),
        ({"beta": math.nan}, "beta must be above 0 and finite, got nan"),
        ({"sigma": "cosine"}, "sigma must be one of uniform"),
        ({"rank": 0}, "rank must be at least 1, got 0"),
    ],
)
def test_choices_that_cannot_be_are_refused(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        Preference(**wrong)

"""Differential LoRA: the second adapter learns beside the first, and is left alone."""

import pytest
import torch
from helpers.few_examples import EMPTY, examples
from helpers.nets import model
from helpers.resumed import assert_same_state, kill_at, state_of

from qwenimage_ref.adapt import lora
from qwenimage_ref.train import differential
from qwenimage_ref.train.dataset import Encoded
from qwenimage_ref.train.differential import train
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.lora import Settings
from qwenimage_ref.train.run_folder import RunError

RECIPE = Recipe(steps=4, batch=2, lr=1e-3, warmup=0, decay_from=1.0, ema=0.0)
SETTINGS = Settings(rank=2, alpha=2, targets="musubi", sigma="uniform")


def brighter(pictures) -> list[Encoded]:
    return [Encoded(one.latents + 1, one.txt) for one in pictures]


def trained(folder, mmdit=None, **fit):
    pictures = examples()
    return train(
        mmdit or model(), pictures, brighter(pictures), EMPTY, RECIPE, SETTINGS, folder,
        quiet=True, **fit,
    )  # fmt: skip


def test_the_second_adapter_alone_is_left_on_the_network(tmp_path):
    mmdit = model()
    run = trained(tmp_path, mmdit)
    assert lora.adapters(mmdit) == [run.model]
    assert run.files.path == tmp_path / "wanted"


def test_the_first_adapter_is_on_and_still_while_the_second_learns(tmp_path, monkeypatch):
    mmdit, seen = model(), []
    train_lora = differential.train_lora

    def spy(mmdit, *rest, **fit):
        before = lora.adapters(mmdit)
        weights = [p.clone() for each in before for p in each.parameters()]
        run = train_lora(mmdit, *rest, **fit)
        after = [p for each in before for p in each.parameters()]
        still = all(torch.equal(a, b) for a, b in zip(weights, after))
        seen.append((len(before), still))
        return run

    monkeypatch.setattr(differential, "train_lora", spy)
    trained(tmp_path, mmdit)
    assert seen == [(0, True), (1, True)]


@pytest.mark.parametrize("killed_in", ["unwanted", "wanted"])
def test_a_killed_run_goes_on_to_the_same_bits_in_either_half(tmp_path, killed_in):
    kill_at("test_differential", 2, tmp_path / "killed", killed_in)
    assert (tmp_path / "killed" / "wanted").exists() == (killed_in == "wanted")
    assert state_of(tmp_path / "killed" / killed_in)["step"] == 2
    trained(tmp_path / "killed")
    trained(tmp_path / "whole")
    for half in ("unwanted", "wanted"):
        assert_same_state(tmp_path / "killed" / half, tmp_path / "whole" / half)


def test_pictures_that_are_no_pairs_are_refused_in_one_line(tmp_path):
    pictures = examples()
    with pytest.raises(RunError, match="in pairs of one size, got 4 and 3 pictures") as refused:
        train(model(), pictures, pictures[:3], EMPTY, RECIPE, SETTINGS, tmp_path, quiet=True)
    assert "\n" not in str(refused.value)

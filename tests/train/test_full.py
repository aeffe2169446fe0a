"""Full training: every weight by the same objective, resumed exactly, or refused."""

import pytest
import torch
from helpers.few_examples import EMPTY, examples
from helpers.nets import SMALL, model
from helpers.resumed import assert_same_state, kill_at

from qwenimage_ref.checkpoint import save
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.train.full import train
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.lora import Flow, loss_of

RECIPE = Recipe(steps=4, batch=2, lr=1e-3, warmup=0, decay_from=1.0, ema=0.0)


def trained(folder, mmdit=None, **fit):
    mmdit = mmdit or model()
    return train(mmdit, examples(), EMPTY, RECIPE, Flow(), folder, quiet=True, **fit)


def test_every_weight_that_has_a_say_is_changed(tmp_path):
    before = dict(model().named_parameters())
    run = trained(tmp_path)
    unchanged = {n for n, p in run.model.named_parameters() if torch.equal(p, before[n])}
    last = "transformer_blocks.1."  # its text stream ends unread
    assert all(name.startswith(last) for name in unchanged)
    assert {name.removeprefix(last).split(".")[0] for name in unchanged} <= {"attn", "txt_mlp"}


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    kill_at("test_full", 2, tmp_path / "killed")
    trained(tmp_path / "killed")
    trained(tmp_path / "whole")
    assert_same_state(tmp_path / "killed", tmp_path / "whole")


def test_the_loss_is_that_of_an_adapters_training_at_its_start():
    mmdit = model()
    losses = [loss_of(mmdit, examples(), EMPTY, RECIPE, Flow())(0) for _ in range(2)]
    assert torch.equal(*losses)


def test_weights_of_16_bits_are_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="float32 weights in memory, got bfloat16") as refused:
        trained(tmp_path, model().bfloat16())
    assert "\n" not in str(refused.value)


def test_a_streamed_network_is_refused(tmp_path):
    save(model(), tmp_path / "mmdit")
    with torch.device("meta"):
        streamed = MMDiT(SMALL)
    load_weights(streamed, tmp_path / "mmdit", torch.float32, streamed=True)
    with pytest.raises(ValueError, match="streamed blocks"):
        trained(tmp_path / "run", streamed)

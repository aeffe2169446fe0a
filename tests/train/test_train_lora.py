"""`qwenimage train lora`: batches drawn, the adapter trained and resumed, the command."""

import dataclasses
import json
import math
import os

import pytest
import torch
from helpers.full_disk import files_of_at_most
from helpers.nets import SMALL, model
from PIL import Image
from safetensors.torch import load_file

from qwenimage_ref import cli
from qwenimage_ref.adapt import lora
from qwenimage_ref.checkpoint import save
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.posters.draw import draw, sample_scene
from qwenimage_ref.train import dataset, flow
from qwenimage_ref.train.dataset import Encoded
from qwenimage_ref.train.loop import Recipe
from qwenimage_ref.train.lora import Batches, Settings, loss_of, padded, train
from qwenimage_ref.train.recompute import recompute
from qwenimage_ref.train.run_folder import RunFolder

RECIPE = Recipe(steps=10, batch=2, lr=1e-3, warmup=2, decay_from=1.0, ema=0.0)
SETTINGS = Settings(rank=2, alpha=2, targets="musubi", dropout=0.3)


# -- drawing --------------------------------------------------------------------------------------


def test_every_example_comes_once_an_epoch_among_its_size():
    sizes = [(1,)] * 5 + [(2,)] * 3
    batches = Batches(sizes, 2, RECIPE)
    epoch = [batches[number] for number in range(5)]
    assert sorted(sum(epoch, [])) == list(range(8))
    assert all(len({sizes[i] for i in batch}) == 1 for batch in epoch)
    again = [batches[number] for number in range(5, 10)]
    assert again != epoch and sorted(sum(again, [])) == list(range(8))
    assert [Batches(sizes, 2, RECIPE)[number] for number in (7, 2)] == [again[2], epoch[2]]


def test_examples_are_shuffled_once_an_epoch_and_not_once_a_batch(monkeypatch):
    batches, shuffle, calls = Batches([(1,)] * 50 + [(2,)] * 50, 2, RECIPE), torch.randperm, []
    monkeypatch.setattr(torch, "randperm", lambda *a, **k: calls.append(a) or shuffle(*a, **k))
    for number in range(100):
        batches[number]
    assert len(calls) == 2 * 3  # two epochs: each of two sizes, then the batches


def test_padded_states_are_masked_and_equal_ones_are_not():
    txt, mask = padded([torch.ones(3, 4), torch.ones(5, 4)])
    assert txt.shape == (2, 5, 4) and mask.sum(1).tolist() == [3, 5] and not txt[0, 3:].any()
    assert padded([torch.ones(3, 4)] * 2)[1] is None


# -- training -------------------------------------------------------------------------------------


def encoded(count=5) -> list[Encoded]:
    rng = torch.Generator().manual_seed(0)
    sides = [(4, 6), (6, 4)]
    return [
        Encoded(
            torch.randn(16, *sides[i % 2], generator=rng), torch.randn(3 + i, 40, generator=rng)
        )
        for i in range(count)
    ]


EMPTY = torch.ones(2, SMALL.joint_attention_dim)


def trained(folder, mmdit=None, recipe=RECIPE, settings=SETTINGS, **fit):
    mmdit = model() if mmdit is None else mmdit
    return train(mmdit, encoded(), EMPTY, recipe, settings, folder, quiet=True, **fit)


def weights(run) -> list[torch.Tensor]:
    return [p.detach() for p in run.model.parameters()]


def test_ten_steps_are_five_and_five_to_the_last_bit(tmp_path):
    whole = trained(tmp_path / "whole")
    half = trained(tmp_path / "half", until=5)
    assert half.step == 5
    resumed = trained(tmp_path / "half")
    assert resumed.step == 10
    for ours, theirs in zip(weights(resumed), weights(whole)):
        assert torch.equal(ours, theirs)


def test_a_run_of_other_pictures_or_settings_is_not_taken_up(tmp_path):
    trained(tmp_path, until=1)
    with pytest.raises(ValueError, match="another recipe"):
        trained(tmp_path, settings=dataclasses.replace(SETTINGS, sigma="uniform"))


def gradients(mmdit, settings=SETTINGS, recipe=RECIPE, number=0) -> list[torch.Tensor]:
    adapter = lora.inject(mmdit, lora.TARGETS["musubi"], 2)
    for pair in adapter.pairs.values():
        torch.nn.init.normal_(pair.lora_B, generator=torch.Generator().manual_seed(7))
    loss_of(mmdit, encoded(), EMPTY, recipe, settings)(number).backward()
    return [p.grad for p in adapter.parameters() if p.grad is not None]


def test_blocks_that_are_computed_again_give_the_same_gradients():
    sparing = model()
    names = list(sparing.state_dict())
    recompute(sparing)
    assert list(sparing.state_dict()) == names
    for ours, theirs in zip(gradients(sparing), gradients(model()), strict=True):
        assert torch.equal(ours, theirs)


def test_a_streamed_base_gives_the_same_gradients(tmp_path):
    save(model(), tmp_path / "mmdit")
    with torch.device("meta"):
        streamed = MMDiT(SMALL)
    load_weights(streamed, tmp_path / "mmdit", torch.float32, streamed=True)
    recompute(streamed)
    for ours, theirs in zip(gradients(streamed), gradients(model()), strict=True):
        assert torch.equal(ours, theirs)


def test_the_batches_of_one_step_are_counted_on_and_their_gradients_averaged(tmp_path):
    run, counted = trained(tmp_path, until=0), []
    weight = run.weights[0]
    run.fit(
        lambda number: counted.append(number) or (number + 1) * weight.sum(),
        until=2, accumulate=2, quiet=True,
    )  # fmt: skip
    assert counted == [0, 1, 2, 3]
    last = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert last["grad_norm"] == pytest.approx((3 + 4) / 2 * math.sqrt(weight.numel()))


def test_the_adapter_stays_float32_over_a_bf16_base(tmp_path):
    run = trained(tmp_path, model().bfloat16(), until=2)
    assert {p.dtype for p in run.model.parameters()} == {torch.float32}
    assert any(pair.lora_B.any() for pair in run.model.pairs.values())


def test_a_loss_weight_of_zero_teaches_nothing(monkeypatch):
    monkeypatch.setitem(flow.WEIGHTS, "none", torch.zeros_like)
    assert not any(grad.any() for grad in gradients(model()))


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def posters(tmp_path):
    folder = tmp_path / "posters"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(draw(sample_scene(i), i)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text("a red circle on a white background")
    return folder


def command(folder, tmp_path, *more):
    return cli.main(
        ["train", "lora", "--data", str(folder), "--to", str(tmp_path / "my.safetensors"),
         "--runs", str(tmp_path / "runs"), "--steps", "2", "--rank", "2", *more]
    )  # fmt: skip


def test_a_folder_of_pictures_becomes_a_lora_that_paints(posters, tmp_path, capsys, monkeypatch):
    sample = ("--sample", "a red circle on a white background", "--sample-every", "2")
    assert command(posters, tmp_path, *sample) == 0
    assert "96 layers, rank 2" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "runs" / "samples").iterdir()] == ["001.png"]
    lines = (tmp_path / "runs" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 2
    before = load_file(tmp_path / "my.safetensors")
    # a second time nothing is encoded and nothing trained, and the file is the same
    monkeypatch.setattr(dataset, "_encode", None)
    assert command(posters, tmp_path, *sample) == 0
    after = load_file(tmp_path / "my.safetensors")
    assert all(torch.equal(before[key], after[key]) for key in before)
    painted = ["paint", "a red circle on a white background", "-o", str(tmp_path / "out.png")]
    adapter = str(tmp_path / "my.safetensors")
    assert cli.main([*painted, "--steps", "2", "--lora", f"{adapter}=0.5"]) == 0
    assert "96 of 118 linear layers, rank 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, complaint",
    [
        (("--steps", "0"), "--steps must be at least 1, got 0"),
        (("--batch", "0"), "--batch must be at least 1, got 0"),
        (("--accumulate", "0"), "--accumulate must be at least 1"),
        (("--rank", "-1"), "--rank must be at least 1, got -1"),
        (("--alpha", "0"), "--alpha must be above 0 and finite, got 0.0"),
        (("--alpha", "nan"), "--alpha must be above 0 and finite, got nan"),
        (("--lr", "-1"), "--lr must be above 0 and finite"),
        (("--lr", "inf"), "--lr must be above 0 and finite"),
        (("--shift", "0"), "--shift must be above 0"),
        (("--dropout", "2"), "--dropout must be a share from 0 to 1, got 2.0"),
        (("--dropout", "nan"), "--dropout must be a share from 0 to 1, got nan"),
        (("--ema", "1"), "--ema must be at least 0 and below 1, got 1.0"),
        (("--seed", "-1"), "--seed must be in 0 to 2**63 - 1, got -1"),
        (("--seed", str(2**63)), "--seed must be in 0 to 2**63 - 1"),
        (("--max-pixels", "-5"), "--max-pixels must be at least 256, got -5"),
        (("--sample-every", "0"), "--sample-every must be at least 1"),
        (("--sample", " "), "--sample must be a prompt, got an empty one"),
        (("--targets", "all"), "--targets must be one of diffusers, Lightning, DiffSynth, musubi"),
        (("--sigma", "cosine"), "--sigma must be one of uniform"),
        (("--weighting", "heavy"), "--weighting must be one of none"),
        (("--to", "my.pt"), "--to must name a .safetensors file, got my.pt; try lora.safetensors"),
        (("--to", "none/my.safetensors"), "--to must be in a folder that exists"),
        (("--to", "m" * 242 + ".safetensors"), "(File name too long); choose another"),
        (("--to", "/dev/null/my.safetensors"), "--to must be in a folder that exists"),
        (("--weights", "no/such/model"), "no/such/model"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(posters, tmp_path, capsys, options, complaint):
    assert command(posters, tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert complaint in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_sample_that_cannot_be_painted_is_refused_before_anything_is_encoded(
    posters, tmp_path, capsys
):
    assert command(posters, tmp_path, "--sample", "red " * 12_501) == 2
    assert "--sample must have at most 50,000 characters" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "encoded").exists()


def test_the_largest_seed_trains_and_paints_its_sample(posters, tmp_path):
    seed = ("--seed", str(2**63 - 1), "--sample", "a red circle", "--targets", "diffusers")
    assert command(posters, tmp_path, *seed, "--steps", "1") == 0
    assert (tmp_path / "my.safetensors").exists()


def test_a_second_command_in_the_same_folder_is_refused_in_one_line(posters, tmp_path, capsys):
    with RunFolder(tmp_path / "runs").locked():
        assert command(posters, tmp_path) == 2
    error = capsys.readouterr().err
    assert f"runs is in use by process {os.getpid()}" in error and error.count("\n") == 1


def test_the_command_names_pictures_that_cannot_be_used(posters, tmp_path, capsys):
    (posters / "broken.png").write_bytes(b"\x89PNG")
    (posters / "broken.txt").write_text("broken")
    assert command(posters, tmp_path) == 2
    assert "1 of 4 examples cannot be used" in capsys.readouterr().err
    assert command(posters, tmp_path, "--skip-bad", "--steps", "1") == 0
    assert capsys.readouterr().err.count("note: left out, broken.png cannot be used") == 1


def test_what_a_kill_left_of_the_adapter_is_removed_at_the_next_start(posters, tmp_path):
    left, other = tmp_path / ".my.safetensors.0123abcd", tmp_path / ".my.safetensors.backup"
    for file in (left, other):
        file.write_bytes(b"half")
    assert command(posters, tmp_path, "--data", str(tmp_path / "none")) == 2
    assert not left.exists() and other.exists()


def test_a_full_disk_is_one_line_and_the_same_command_continues(posters, tmp_path, capsys):
    with files_of_at_most(1000):
        assert command(posters, tmp_path) == 2
    error = capsys.readouterr().err
    assert "cannot be written" in error and "the same command continues" in error
    assert not (tmp_path / "my.safetensors").exists()
    assert command(posters, tmp_path, "--steps", "1") == 0

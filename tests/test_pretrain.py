"""Training the pocket model from nothing, in miniature, and how good the shipped one is."""

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import torch

from qwenimage_ref import QwenImage, cli
from qwenimage_ref.posters import pretrain
from qwenimage_ref.posters.evaluate import trials
from qwenimage_ref.tokenizer import Tokenizer
from qwenimage_ref.vae import VAE

POCKET = Path(__file__).parents[1] / "data" / "pocket"


@pytest.fixture
def small(monkeypatch):
    """The same training on a handful of posters."""
    monkeypatch.setattr(pretrain, "CHUNK", 8)
    monkeypatch.setattr(pretrain, "POSTERS", 16)
    monkeypatch.setattr(pretrain, "MEASURED", 32)
    tiny = dict(num_layers=1)
    monkeypatch.setattr(
        pretrain, "POCKET_MMDIT", dataclasses.replace(pretrain.POCKET_MMDIT, **tiny)
    )


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load(POCKET / "tokenizer")


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return VAE(pretrain.POCKET_VAE)


def test_the_shipped_tokenizer_is_the_one_that_training_makes(tokenizer):
    assert pretrain.train_tokenizer().vocab == tokenizer.vocab


def test_the_template_takes_the_34_tokens_that_diffusers_drops(tokenizer):
    assert tokenizer.prefix_length == 34


def test_letters_of_a_word_stay_single_tokens(tokenizer):
    for word in ("QWEN", "A1B2", "THE", "7070"):
        assert len(tokenizer.encode(word)) == len(word)


def test_an_untrained_painter_predicts_no_velocity():
    painter = pretrain.Painter()
    img, txt = torch.randn(2, 64, 64), torch.randn(2, 7, 192)
    with torch.no_grad():
        velocity = painter.transformer(img, txt, torch.tensor([0.3, 0.9]), [(1, 8, 8)])
    assert torch.equal(velocity, torch.zeros(2, 64, 64))


def test_measured_statistics_make_latents_of_unit_variance(vae, monkeypatch):
    monkeypatch.setattr(pretrain, "MEASURED", 64)
    measured = pretrain.with_statistics(vae)
    latents = pretrain.encode_posters(measured, range(64))
    assert latents.mean((0, 2, 3)).abs().max() < 1e-2
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 1e-2


def test_latents_are_encoded_once_and_read_back(vae, tmp_path, small):
    first = pretrain.Latents(vae, tmp_path)[[3, 9]]
    vae_that_must_not_run = None
    again = pretrain.Latents(vae_that_must_not_run, tmp_path)[[3, 9]]
    assert torch.equal(first, again)
    assert sorted(f.name for f in tmp_path.iterdir()) == ["000.safetensors", "001.safetensors"]


def test_training_goes_on_bit_for_bit_where_it_was_stopped(vae, tokenizer, tmp_path, small):
    recipe = dataclasses.replace(pretrain.PAINT_RECIPE, steps=4, batch=4, warmup=2)

    def weights(folder, *stops):
        for until in stops:
            painter = pretrain.train_painter(vae, tokenizer, folder, recipe, until=until)
        return torch.cat([p.detach().flatten() for p in painter.parameters()])

    assert torch.equal(weights(tmp_path / "a", 4), weights(tmp_path / "b", 2, 4))


def test_the_train_command_makes_a_folder_that_loads_and_resumes(tmp_path, small, monkeypatch):
    monkeypatch.setattr(
        pretrain, "PAINT_RECIPE", dataclasses.replace(pretrain.PAINT_RECIPE, batch=4)
    )
    monkeypatch.setattr(pretrain, "VAE_RECIPE", dataclasses.replace(pretrain.VAE_RECIPE, batch=4))
    command = ["train", "pocket", "--runs", str(tmp_path / "runs"), "--to", str(tmp_path / "out")]
    assert cli.main([*command, "--vae-steps", "3", "--steps", "3"]) == 0
    assert cli.main([*command, "--vae-steps", "3", "--steps", "3"]) == 0
    log = (tmp_path / "runs" / "painter" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [3]
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert record["logs"]["painter"][-1]["step"] == record["recipes"]["painter"]["steps"] == 3
    pipe = QwenImage.from_pretrained(tmp_path / "out")
    assert pipe.recommended["sample_size"] == 128
    assert pipe.transformer.config.num_layers == 1
    # a longer run must not go on from a quick try: its rates, and its VAE's latents, are others
    assert cli.main([*command, "--vae-steps", "3", "--steps", "4"]) == 2
    assert cli.main([*command, "--vae-steps", "4", "--steps", "3"]) == 2


def test_training_never_writes_over_a_folder_that_is_no_model(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    assert cli.main(["train", "pocket", "--to", str(tmp_path / "photos")]) == 2
    assert "is there and is no model; choose another with --to" in capsys.readouterr().err


def test_no_held_out_scene_is_trained_on():
    trained = {pretrain.scene_of(n) for n in range(pretrain.POSTERS)}
    assert not {trial.scene for trial in trials(300)} & trained


@torch.no_grad()
def test_the_shipped_vae_keeps_true_posters_above_36_decibels():
    pipe = QwenImage.from_pretrained(POCKET)
    img = pretrain.pictures(range(pretrain.TEST_SEED, pretrain.TEST_SEED + 32))
    assert pretrain.psnr(pipe.vae.decode(pipe.vae.encode(img)[0]), img) >= 36


def test_the_shipped_files_are_those_of_the_training_record():
    record = json.loads((POCKET / "training.json").read_text())
    for name, sha256 in record["sha256"].items():
        assert hashlib.sha256((POCKET / name).read_bytes()).hexdigest() == sha256, name
    for network in ("vae", "painter"):
        assert record["logs"][network][-1]["step"] == record["recipes"][network]["steps"]


def test_the_shipped_folder_is_at_most_34_megabytes():
    assert sum(f.stat().st_size for f in POCKET.rglob("*") if f.is_file()) <= 34e6

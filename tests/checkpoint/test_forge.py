"""Forged checkpoints: official layout, honest numbers, whole files or none, the same bytes."""

import errno
import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_model import TINY
from safetensors import safe_open

from qwenimage_ref.checkpoint import forge as forge_module
from qwenimage_ref.checkpoint.forge import PIECE, forge, piece
from qwenimage_ref.checkpoint.headers import find_tensors
from qwenimage_ref.checkpoint.model_folder import FORGED, STEMS, stored_networks
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.files import CheckpointError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def sharded(monkeypatch):
    """Shards so small that the tiny model has several."""
    monkeypatch.setattr(forge_module, "SHARD_BYTES", 200_000)


def contents(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def weight_files(folder: Path) -> list[str]:
    """Names of all weight files, partial ones included."""
    names = sorted(path.name for path in folder.rglob("*.safetensors*"))
    return [name for name in names if not name.endswith("index.json")]


def test_every_part_holds_what_its_network_stores_in_bf16(tmp_path, sharded):
    forge(tmp_path / "model", TINY)
    for part, network in stored_networks(tmp_path / "model").items():
        found = find_tensors(tmp_path / "model" / part)
        assert {key: place.shape for key, place in found.items()} == stored_form(network)
        assert {place.dtype for place in found.values()} == {"BF16"}
        assert len(list((tmp_path / "model" / part).glob(f"{STEMS[part]}*.index.json"))) == 1


@pytest.mark.parametrize(
    "name, sha256",
    [
        ("model_index.json", "caf5f49ee3d897fff6a8e8d6353b084c8d1da3e40ba2f32e9bc554eb0ee4b4e9"),
        (
            "scheduler/scheduler_config.json",
            "7ee767e37bae4af31d4eb935e125bb20a2237eeecafd22af6610093865c6f587",
        ),
        (
            "transformer/config.json",
            "247c94f9b923a7d6b6035ca76d27b556bd0efd1a8c7672f31f037644fcce340e",
        ),
        ("vae/config.json", "c448160dba5ce79c965cb075ee02e18d1c42eb6424f787e5869790d577b56a65"),
    ],
)
def test_the_small_files_are_those_of_qwen_image_2512(tmp_path, name, sha256):
    added = json.loads((ROOT / "data/pocket/tokenizer/added_tokens.json").read_text())
    forge_module.write_small_files(tmp_path, forge_module.Configs(), added)
    assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == sha256


def test_transformers_reads_the_config_of_the_text_encoder(tmp_path):
    from transformers import AutoConfig

    forge(tmp_path / "model", TINY)
    config = AutoConfig.from_pretrained(tmp_path / "model" / "text_encoder")
    numbers = config.text_config
    assert (numbers.hidden_size, numbers.num_hidden_layers) == (48, 3)
    assert config.vision_config.depth == 1


def test_matrices_are_normal_norms_are_one_and_biases_zero(tmp_path):
    forge(tmp_path / "model", TINY)
    with safe_open(
        tmp_path / "model/transformer/diffusion_pytorch_model.safetensors", "pt"
    ) as file:
        matrix = file.get_tensor("transformer_blocks.7.img_mlp.net.2.weight").float()
        assert abs(matrix.std() - 0.02) < 0.001 and abs(matrix.mean()) < 0.001
        assert (file.get_tensor("transformer_blocks.7.attn.norm_added_q.weight") == 1).all()
        assert (file.get_tensor("transformer_blocks.7.attn.to_q.bias") == 0).all()
        assert not torch.equal(
            matrix, file.get_tensor("transformer_blocks.6.img_mlp.net.2.weight").float()
        )
    with safe_open(tmp_path / "model/vae/diffusion_pytorch_model.safetensors", "pt") as file:
        assert (file.get_tensor("decoder.norm_out.gamma") == 1).all()
        assert file.get_tensor("decoder.conv_out.weight").float().std() > 0.015


def test_drawn_numbers_have_the_shares_of_a_normal_distribution():
    drawn = torch.from_numpy(piece("any.weight", 0, PIECE, 0)).view(torch.bfloat16).float() / 0.02
    for bound, share in ((0.5, 0.3829), (1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert (drawn.abs() < bound).float().mean() == pytest.approx(share, abs=0.003)
    assert abs(drawn.mean()) < 0.005


def test_another_name_seed_or_piece_draws_other_numbers():
    drawn = {
        piece(key, number, 100, seed).tobytes()
        for key in ("a.weight", "b.weight")
        for number in (0, 1)
        for seed in (0, 1)
    }
    assert len(drawn) == 8


def test_a_forge_that_was_killed_goes_on_to_the_same_bytes(tmp_path, sharded):
    forge(tmp_path / "whole", TINY)
    expected = contents(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shards = sorted((tmp_path / "killed/transformer").glob("*.safetensors"))
    shards[0].unlink()
    # what kill -9 leaves: a partial file under a name of its own, here beside a short shard
    os.rename(shards[1], shards[1].with_name(f".{shards[1].name}.x1"))
    shards[2].write_bytes(shards[2].read_bytes()[:-100])
    missing = sum((tmp_path / "whole/transformer" / s.name).stat().st_size for s in shards[:3])
    assert forge(tmp_path / "killed", TINY) == missing
    assert contents(tmp_path / "killed") == expected


def test_a_finished_forge_writes_nothing_again(tmp_path):
    forge(tmp_path / "model", TINY)
    counts = []
    assert forge(tmp_path / "model", TINY, progress=lambda *of: counts.append(of)) == 0
    assert [done == total for done, total in counts] == [True]


def test_progress_counts_every_byte_of_the_weight_files(tmp_path, sharded):
    counts = []
    written = forge(tmp_path / "model", TINY, progress=lambda *of: counts.append(of))
    weights = sum(path.stat().st_size for path in (tmp_path / "model").rglob("*.safetensors"))
    assert counts[-1] == (weights, weights) == (written, written)
    assert counts == sorted(counts)


def test_the_disk_fills_and_no_partial_file_has_a_final_name(tmp_path, sharded, monkeypatch):
    def full(_, content, offset):
        if offset > 100_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(_, content[:1000], offset)  # as a disk that is nearly full: less than asked

    real = os.pwrite
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(
            CheckpointError, match="No space left on device.*run the same command to resume"
        ):
            forge(tmp_path / "model", TINY)
    assert weight_files(tmp_path / "model") == []
    forge(tmp_path / "model", TINY)
    forge(tmp_path / "other", TINY)
    assert contents(tmp_path / "model") == contents(tmp_path / "other")


def test_ctrl_c_leaves_whole_shards_and_nothing_else(tmp_path, sharded):
    def interrupt(done, total):
        if done > total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        forge(tmp_path / "model", TINY, progress=interrupt)
    forge(tmp_path / "whole", TINY)
    whole, left = contents(tmp_path / "whole"), contents(tmp_path / "model")
    assert left.items() < whole.items()


def test_a_read_only_tokenizer_is_copied_and_copied_again(tmp_path):
    source = shutil.copytree(forge_module.POCKET_TOKENIZER, tmp_path / "source")
    for file in source.iterdir():
        file.chmod(0o444)
    for _ in range(2):
        forge(tmp_path / "model", TINY, tokenizer=source)
    copied = list((tmp_path / "model/tokenizer").iterdir())
    assert len(copied) == len(list(source.iterdir()))
    assert all(file.stat().st_mode & 0o200 for file in copied)


def test_a_damaged_mark_is_not_taken_for_ours(tmp_path):
    forge(tmp_path / "model", TINY)
    (tmp_path / "model" / FORGED).write_text("{")
    with pytest.raises(CheckpointError, match="other numbers"):
        forge(tmp_path / "model", TINY)


def test_too_little_space_is_told_in_numbers_before_a_byte_is_drawn(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**10))
    with pytest.raises(CheckpointError, match=r"57\.7 GB are needed and 10\.0 GB are free"):
        forge(tmp_path / "model")
    assert weight_files(tmp_path / "model") == []


def test_a_folder_inside_the_repository_is_refused():
    with pytest.raises(CheckpointError, match="lies in the repository"):
        forge(ROOT / "data" / "forged", TINY)
    assert not (ROOT / "data" / "forged").exists()


def test_a_folder_that_holds_anything_else_is_refused(tmp_path):
    (tmp_path / "learned.safetensors").write_bytes(b"precious")
    with pytest.raises(CheckpointError, match="not empty and not forged"):
        forge(tmp_path, TINY)
    assert (tmp_path / "learned.safetensors").read_bytes() == b"precious"


def test_other_numbers_do_not_mix_with_those_of_an_earlier_forge(tmp_path):
    forge(tmp_path / "model", TINY)
    before = contents(tmp_path / "model")
    for other in ({"seed": 1}, {"configs": replace(TINY, vae=replace(TINY.vae, base_dim=8))}):
        with pytest.raises(CheckpointError, match="other numbers"):
            forge(tmp_path / "model", **({"configs": TINY} | other))
    assert contents(tmp_path / "model") == before
    assert FORGED in before


def test_a_piece_of_any_length_begins_with_the_same_numbers():
    long = piece("a.weight", 3, 1000, 0)
    for count in (1, 2, 999):
        assert np.array_equal(piece("a.weight", 3, count, 0), long[:count])

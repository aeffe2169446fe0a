"""Single files of layered models: RGBA VAEs under Wan's names, quantised transformers, lm_head."""

import json

import numpy as np
import pytest
import torch
from helpers.gguf_files import as_published, write_theirs
from helpers.layering import tiny_layered, transparent
from helpers.single_files import PREFIXES, later, official, prefixed, written
from safetensors.torch import load_file

from qwenimage_ref import QwenImage
from qwenimage_ref.adapt import lora
from qwenimage_ref.checkpoint import CheckpointError
from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.formats import fp8
from qwenimage_ref.formats.single_file import save_wan
from qwenimage_ref.tasks.captions import caption
from qwenimage_ref.tasks.layers import decompose

QUICK = {"layers": 2, "num_inference_steps": 2, "seed": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layered") / "m"
    forge(folder, tiny_layered())
    (folder / "recommended.json").write_text(json.dumps({"sample_size": 64}))
    return folder


@pytest.fixture(scope="module")
def usual(folder):
    return QwenImage.from_pretrained(folder)


def pixels(pipe) -> np.ndarray:
    layers = decompose(pipe, transparent(70, 50), "a", **QUICK)
    return np.stack([np.asarray(layer).astype(int) for layer in layers])


def test_an_rgba_vae_under_the_names_of_wan_is_the_same(folder, usual, tmp_path):
    save_wan(usual.vae, tmp_path / "wan.safetensors")
    single = QwenImage.from_pretrained(folder, vae=tmp_path / "wan.safetensors")
    assert np.array_equal(pixels(single), pixels(usual))


def test_a_transformer_of_layered_control_is_a_single_file(folder, usual, tmp_path):
    tensors = official(folder, "transformer")
    file = written(tmp_path / "control.safetensors", tensors, prefixed(PREFIXES[0]))
    single = QwenImage.from_pretrained(folder, transformer=file)
    assert np.array_equal(pixels(single), pixels(usual))


@pytest.mark.parametrize("stream", [False, True], ids=["resident", "streamed"])
def test_a_transformer_in_fp8_takes_a_picture_apart(folder, usual, tmp_path, stream):
    file = tmp_path / "fp8.safetensors"
    fp8.save_fp8(usual.transformer, file, "tensor")
    assert "time_text_embed.addition_t_embedding.weight" in load_file(file)
    quantised = QwenImage.from_pretrained(folder, transformer=file, stream=stream)
    off = np.abs(pixels(quantised) - pixels(usual))
    assert 0 < off.mean() < 2


def test_a_transformer_in_gguf_takes_a_picture_apart(folder, usual, tmp_path):
    """Its rows are too narrow for blocks of 32 numbers, so they are float16."""
    write_theirs(
        tmp_path / "layered.gguf", usual.transformer, lambda *named: as_published(*named, "F16")
    )
    single = QwenImage.from_pretrained(folder, transformer=tmp_path / "layered.gguf")
    assert np.abs(pixels(single) - pixels(usual)).max() <= 2


@pytest.mark.parametrize("rename", [prefixed(""), later], ids=["official", "later"])
def test_a_text_encoder_under_either_names_writes(folder, usual, tmp_path, monkeypatch, rename):
    monkeypatch.setattr("qwenimage_ref.tasks.captions.MOST_TOKENS", 4)
    file = written(tmp_path / "qwen.safetensors", official(folder, "text_encoder"), rename)
    single = QwenImage.from_pretrained(folder, text_encoder=file)
    assert caption(single, transparent(9, 9)) == caption(usual, transparent(9, 9))


def test_a_text_encoder_without_lm_head_cannot_write_and_is_refused(folder, tmp_path):
    tensors = official(folder, "text_encoder")
    del tensors["lm_head.weight"]
    file = written(tmp_path / "qwen.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"1 tensors are missing \(lm_head.weight\)"):
        QwenImage.from_pretrained(folder, text_encoder=file)


def test_a_vae_of_three_channels_is_refused_by_its_shapes(folder, tmp_path):
    tensors = official(folder, "vae")
    tensors["encoder.conv_in.weight"] = tensors["encoder.conv_in.weight"][:, :3].contiguous()
    file = written(tmp_path / "vae.safetensors", tensors)
    with pytest.raises(CheckpointError, match=r"encoder.conv_in.weight is \[.*instead of"):
        QwenImage.from_pretrained(folder, vae=file)


def test_a_lora_acts_on_layers_as_on_anything(folder, usual, tmp_path):
    name = "transformer_blocks.0.attn.to_q"
    generator = torch.Generator().manual_seed(0)
    pair = {"lora_A": (4, 48), "lora_B": (48, 4)}
    tensors = {
        f"transformer.{name}.{part}.weight": 3 * torch.randn(shape, generator=generator)
        for part, shape in pair.items()
    }
    pipe = QwenImage.from_pretrained(folder)
    lora.load(pipe.transformer, written(tmp_path / "lora.safetensors", tensors))
    assert not np.array_equal(pixels(pipe), pixels(usual))

"""Single files in every layout: the same weights as the official folder's.

The Wan names of the VAE are compared with diffusers' own conversion of such files.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from helpers.single_files import (
    EITHER,
    POCKET,
    PREFIXES,
    VAE_PREFIXES,
    calls,
    later,
    loaded,
    official,
    prefixed,
    written,
)
from helpers.small_net import assert_equal, on_meta, tensors_of
from safetensors.torch import load_file

from qwenimage_ref import QwenImage
from qwenimage_ref.checkpoint import headers, save
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import VAEConfig
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats import fp8, gguf_container
from qwenimage_ref.formats.recognise import ZERO_COND_T, describe
from qwenimage_ref.formats.single_file import wan_names
from qwenimage_ref.load import load_weights
from qwenimage_ref.vae import VAE


@pytest.mark.parametrize("prefix", ["", *PREFIXES])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bf16", "float32"])
def test_a_transformer_under_any_prefix_is_that_of_the_folder(forged, tmp_path, prefix, dtype):
    tensors = official(forged, "transformer")
    file = written(tmp_path / "one.safetensors", tensors, prefixed(prefix), dtype)
    mmdit = empty_network(forged, "transformer")
    single = load_weights(mmdit, file, torch.float32)
    assert_equal(tensors_of(mmdit), tensors_of(loaded(forged, "transformer")))
    assert single.layout == "official names" and len(single.places) == len(tensors)


def test_a_float16_file_is_read_number_by_number(forged, tmp_path):
    tensors = official(forged, "transformer")
    file = written(tmp_path / "half.safetensors", tensors, dtype=torch.float16)
    mmdit = empty_network(forged, "transformer")
    load_weights(mmdit, file, torch.float32)
    assert_equal(tensors_of(mmdit), {key: t.half().float() for key, t in tensors.items()})


@torch.no_grad()
def test_a_streamed_transformer_under_a_prefix_answers_as_the_resident_one(forged, tmp_path):
    tensors = official(forged, "transformer")
    file = written(tmp_path / "one.safetensors", tensors, prefixed(PREFIXES[0]))
    mmdit = empty_network(forged, "transformer")
    load_weights(mmdit, file, torch.float32, streamed=True)
    (ours,), (theirs,) = (m.many(calls()) for m in (mmdit, loaded(forged, "transformer")))
    assert len(list(mmdit.parameters())) < len(tensors) / 2  # the blocks stayed on disk
    assert torch.equal(ours, theirs) and ours.std() > 0.01


@EITHER
@pytest.mark.parametrize("prefix", ["", PREFIXES[0]])
@torch.no_grad()
def test_an_fp8_file_is_read_as_fp8(forged, tmp_path, stream, prefix):
    network = loaded(forged, "transformer")
    fp8.save_fp8(network, tmp_path / "bare.safetensors", "row")
    tensors = load_file(tmp_path / "bare.safetensors")
    file = written(tmp_path / "fp8.safetensors", tensors, prefixed(prefix))
    mmdit = empty_network(forged, "transformer")
    report = load_weights(mmdit, file, torch.float32, streamed=stream)
    assert report.layout == "musubi"
    (ours,), (theirs,) = mmdit.many(calls()), network.many(calls())
    assert 0 < (ours - theirs).norm() / theirs.norm() < 0.2  # packed, and the same model


@EITHER
def test_a_gguf_file_is_read_as_gguf(gguf_file, stream):
    mmdit = empty_network(POCKET, "transformer")
    report = load_weights(mmdit, gguf_file, torch.float32, streamed=stream)
    assert report.layout == "GGUF" and len(report.packed) == 14 * 8
    assert describe(gguf_file).layout == "GGUF" and "Q8_0" in describe(gguf_file).types


@EITHER
@pytest.mark.parametrize("prefix", ["", PREFIXES[0]])
def test_the_mark_of_edit_2511_sets_zero_cond_t(forged, tmp_path, stream, prefix):
    tensors = official(forged, "transformer") | {ZERO_COND_T: torch.tensor([])}
    file = written(tmp_path / "edit.safetensors", tensors, prefixed(prefix))
    mmdit = empty_network(forged, "transformer")
    assert not mmdit.config.zero_cond_t
    assert load_weights(mmdit, file, torch.float32, streamed=stream).zero_cond_t
    assert mmdit.config.zero_cond_t
    assert "Edit-2511" in str(describe(file))


def test_the_mark_counts_in_an_fp8_file_too(forged, tmp_path):
    fp8.save_fp8(loaded(forged, "transformer"), tmp_path / "bare.safetensors", "plain")
    tensors = load_file(tmp_path / "bare.safetensors") | {ZERO_COND_T: torch.tensor([])}
    mmdit = empty_network(forged, "transformer")
    load_weights(mmdit, written(tmp_path / "edit.safetensors", tensors), torch.float32)
    assert mmdit.config.zero_cond_t


def test_the_names_of_wan_are_those_that_diffusers_converts_from():
    names = wan_names(on_meta(VAE, VAEConfig.official()))
    assert convert_wan_vae_to_diffusers({wan: key for key, wan in names.items()}) == {
        key: key for key in names
    }


def test_the_official_vae_has_194_tensors_under_as_many_names_of_wan():
    vae = on_meta(VAE, VAEConfig.official())
    names = wan_names(vae)
    assert len(names) == len(set(names.values())) == 194
    assert sum(np.prod(shape) for shape in stored_form(vae).values()) == 126_892_531
    assert names["decoder.mid_block.resnets.0.conv1.weight"] == "decoder.middle.0.residual.2.weight"


@pytest.mark.parametrize("prefix", ["", *VAE_PREFIXES])
def test_a_vae_to_wan_and_back_is_bit_for_bit_the_file_that_it_was(tmp_path, prefix):
    tensors, names = official(POCKET, "vae"), wan_names(empty_network(POCKET, "vae"))
    file = written(tmp_path / "wan.safetensors", tensors, lambda key: prefix + names[key])
    vae = empty_network(POCKET, "vae")
    assert load_weights(vae, file, torch.bfloat16).layout == "the names of Wan"
    save(vae, tmp_path / "back")
    back = load_file(tmp_path / "back" / "diffusion_pytorch_model.safetensors")
    assert len(back) == 194
    assert_equal(back, tensors)


def test_a_vae_under_official_names_is_that_of_the_folder(tmp_path):
    vae = empty_network(POCKET, "vae")
    file = written(tmp_path / "vae.safetensors", official(POCKET, "vae"), dtype=torch.float32)
    assert load_weights(vae, file, torch.float32).layout == "official names"
    assert_equal(tensors_of(vae), tensors_of(loaded(POCKET, "vae")))


@pytest.fixture(scope="module")
def singles(tmp_path_factory) -> dict[str, Path]:
    """The pocket model as ComfyUI would have it: three files, each under names of its own."""
    folder = tmp_path_factory.mktemp("singles")
    names = wan_names(empty_network(POCKET, "vae"))
    rename = {"transformer": prefixed(PREFIXES[0]), "vae": names.get, "text_encoder": later}
    return {
        part: written(folder / f"{part}.safetensors", official(POCKET, part), name_of)
        for part, name_of in rename.items()
    }


@pytest.fixture
def configs(tmp_path) -> Path:
    """The pocket folder without any weights."""
    ignored = shutil.ignore_patterns("*.safetensors")
    return shutil.copytree(POCKET, tmp_path / "configs", ignore=ignored)


@EITHER
def test_three_single_files_paint_the_picture_of_the_folder(singles, configs, stream):
    request = ("a red circle on a white background", " ", 4.0, 64, 64, 2, 0)
    ours, theirs = (
        np.asarray(QwenImage.from_pretrained(folder, stream=stream, **files)(*request)[0])
        for folder, files in ((configs, singles), (POCKET, {}))
    )
    assert np.array_equal(ours, theirs) and ours.std() > 5


def test_a_gguf_transformer_paints_nearly_the_picture_of_the_folder(gguf_file):
    request = ("a red circle on a white background", " ", 4.0, 64, 64, 2, 0)
    ours, theirs = (
        np.asarray(QwenImage.from_pretrained(POCKET, transformer=file)(*request)[0], float)
        for file in (gguf_file, None)
    )
    assert 0 < np.abs(ours - theirs).mean() < 3  # of 255


def test_a_wrong_file_is_refused_before_any_weights_are_read(singles, configs, monkeypatch):
    monkeypatch.setattr("qwenimage_ref.load.fill", lambda *_: pytest.fail())
    with pytest.raises(CheckpointError, match="it goes with --text-encoder"):
        QwenImage.from_pretrained(configs, **(singles | {"vae": singles["text_encoder"]}))


@pytest.fixture(scope="module")
def checkpoint(forged, tmp_path_factory) -> Path:
    """A whole model in one file, as ComfyUI's CheckpointSave writes it."""
    parts = {
        "model.diffusion_model.": "transformer",
        "vae.": "vae",
        "text_encoders.qwen25_7b.transformer.": "text_encoder",
    }
    tensors = {
        prefix + key: tensor
        for prefix, part in parts.items()
        for key, tensor in official(forged, part).items()
    }
    tensors["text_encoders.qwen25_7b.logit_scale"] = torch.ones(())
    return written(tmp_path_factory.mktemp("whole") / "checkpoint.safetensors", tensors)


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_of_a_file_with_several_parts_the_one_that_is_asked_for_is_taken(forged, checkpoint, part):
    network = empty_network(forged, part)
    load_weights(network, checkpoint, torch.float32)
    assert_equal(tensors_of(network), tensors_of(loaded(forged, part)))


def test_a_file_with_several_parts_says_what_each_is_used_with(checkpoint):
    lines = str(describe(checkpoint)).splitlines()
    assert "several parts" in lines[1]
    assert [line.split()[-2] for line in lines[-3:]] == ["--transformer", "--vae", "--text-encoder"]


@EITHER
def test_every_header_is_read_once(singles, gguf_file, configs, monkeypatch, stream):
    parsed, parse = [], headers.parse_json
    monkeypatch.setattr(headers, "parse_json", lambda text: parsed.append(text) or parse(text))
    QwenImage.from_pretrained(POCKET, stream=stream)
    QwenImage.from_pretrained(configs, stream=stream, **singles)
    assert len(parsed) == 2 * 3
    read, header = [], gguf_container._header
    monkeypatch.setattr(gguf_container, "_header", lambda r: read.append(r) or header(r))
    load_weights(empty_network(POCKET, "transformer"), gguf_file, torch.float32, streamed=stream)
    assert len(read) == 1

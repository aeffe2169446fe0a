"""Names as other programs write them, and files that hold what nobody should have to wait for."""

import json

import numpy as np
import pytest
import torch
from helpers import speed
from helpers.mutations import little_memory
from helpers.small_net import assert_equal, tensors_of
from helpers.tiny_model import TINY
from safetensors.torch import load_file, save_file

from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats import gguf_container
from qwenimage_ref.formats.gguf_container import read_gguf
from qwenimage_ref.formats.recognise import demand, describe, official_names
from qwenimage_ref.load import load_weights

FEW_SECONDS = 2.0  # of CPU time; what these files cost before was minutes, or would have been


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forged") / "model"
    forge(folder, TINY)
    return folder


def official(folder, part):
    return load_file(next((folder / part).glob("*.safetensors")))


def loaded(folder, part, source):
    network = empty_network(folder, part)
    load_weights(network, source, torch.float32)
    return tensors_of(network)


WRAPPED = {
    "torch.compile": lambda key: f"_orig_mod.{key}",
    "DDP": lambda key: f"module.{key}",
    "DDP around torch.compile": lambda key: f"module._orig_mod.{key}",
    "FSDP of each block": lambda key: key.replace(".attn.", "._fsdp_wrapped_module.attn."),
    "checkpointing of each block": lambda key: key.replace(
        "_blocks.1.", "_blocks.1._checkpoint_wrapped_module."
    ),
    "a wrapped model under ComfyUI's prefix": lambda key: f"model.diffusion_model._orig_mod.{key}",
    "a wrapper around a prefix": lambda key: f"module.transformer.{key}",
}


@pytest.mark.parametrize("rename", WRAPPED.values(), ids=WRAPPED)
def test_segments_that_wrappers_put_into_names_carry_no_meaning(forged, tmp_path, rename):
    file = tmp_path / "wrapped.safetensors"
    save_file({rename(key): t for key, t in official(forged, "transformer").items()}, file)
    ours = loaded(forged, "transformer", file)
    assert_equal(ours, loaded(forged, "transformer", forged / "transformer"))


def test_a_segment_is_a_wrapper_only_as_a_whole():
    names = ["submodule.weight", "a.module_list.weight", "x._orig_module.weight"]
    assert list(official_names(names, "vae")) == names


def test_a_wrapped_name_beside_the_bare_one_is_refused():
    with pytest.raises(CheckpointError, match="are the same tensor; keep one"):
        official_names(["a.weight", "a._orig_mod.weight"], "transformer")


def test_what_clip_save_writes_is_a_text_encoder(forged, tmp_path):
    tensors = official(forged, "text_encoder")
    file = tmp_path / "clip.safetensors"
    clip = {f"qwen25_7b.transformer.{key}": t for key, t in tensors.items()}
    save_file(clip | {"qwen25_7b.logit_scale": torch.ones(())}, file)
    ours = loaded(forged, "text_encoder", file)
    assert_equal(ours, loaded(forged, "text_encoder", forged / "text_encoder"))


def test_a_logit_scale_in_a_text_encoder_is_left_on_disk(forged, tmp_path):
    tensors = official(forged, "text_encoder") | {"logit_scale": torch.ones(())}
    save_file(tensors, tmp_path / "text.safetensors")
    ours = loaded(forged, "text_encoder", tmp_path / "text.safetensors")
    assert_equal(ours, loaded(forged, "text_encoder", forged / "text_encoder"))


def test_a_logit_scale_in_a_transformer_is_not_known(forged, tmp_path):
    tensors = official(forged, "transformer") | {"logit_scale": torch.ones(())}
    save_file(tensors, tmp_path / "more.safetensors")
    with pytest.raises(CheckpointError, match="1 are not known .logit_scale"):
        loaded(forged, "transformer", tmp_path / "more.safetensors")


def test_a_file_whose_name_ends_in_sft_is_a_safetensors_file(forged, tmp_path):
    save_file(official(forged, "vae"), tmp_path / "vae.sft")
    assert_equal(loaded(forged, "vae", tmp_path / "vae.sft"), loaded(forged, "vae", forged / "vae"))


def test_the_transformer_of_2_1_is_refused_by_its_name(forged, tmp_path):
    tensors = official(forged, "transformer") | {"txt_in.text_norm.weight": torch.ones(2)}
    save_file(tensors, tmp_path / "later.safetensors")
    with pytest.raises(CheckpointError, match="is the transformer of Qwen-Image-2.1, another arch"):
        demand(tmp_path / "later.safetensors", "transformer")


def safetensors_of(names, file):
    """A file of tensors without numbers."""
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({name: entry for name in names}).encode()
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    return file


def test_a_name_longer_than_a_thousand_characters_is_refused_in_no_time(tmp_path):
    file = safetensors_of(["decoder.up_blocks." * 16_000], tmp_path / "long.safetensors")
    message = "a name has 288,000 characters; at most 1,000 do"
    with speed.at_most(FEW_SECONDS), pytest.raises(CheckpointError, match=message):
        describe(file)


@pytest.mark.parametrize(
    "piece", ["decoder.up_blocks.", "blocks.1", "1", "layers.9.self_attn.", "module.", "lora"]
)
def test_ten_thousand_names_that_repeat_themselves_are_read_in_seconds(tmp_path, piece):
    names = [f"{n:05}.{piece * (300 // len(piece))}" for n in range(10_000)]
    file = safetensors_of(names, tmp_path / "many.safetensors")
    with speed.at_most(FEW_SECONDS), pytest.raises(CheckpointError):
        demand(file, "vae")


def gguf_of(metadata: bytes, count: int, file):
    numbers = np.array([0, count], "<u8").tobytes()
    file.write_bytes(b"GGUF" + np.array([3], "<u4").tobytes() + numbers + metadata)
    return file


def test_a_long_header_of_a_gguf_file_costs_neither_memory_nor_time(tmp_path):
    array = np.array([9], "<u4").tobytes() + np.array([0], "<u4").tobytes()
    array += np.array([999_999], "<u8").tobytes() + bytes(999_999)
    entries = [np.array([3], "<u8").tobytes() + f"{n:03}".encode() + array for n in range(60)]
    file = gguf_of(b"".join(entries), len(entries), tmp_path / "long.gguf")
    assert file.stat().st_size > 3 * gguf_container.LONGEST_HEADER
    with little_memory(), pytest.raises(CheckpointError, match="longer than 16,000,000 bytes"):
        read_gguf(file)


@pytest.mark.parametrize("number, name", [(18, "IQ3_XXS"), (21, "IQ3_S"), (39, "MXFP4")])
def test_a_kind_of_gguf_blocks_that_is_not_read_is_named(tmp_path, number, name):
    sizes = np.array([32], "<u8").tobytes()
    tensor = np.array([1], "<u8").tobytes() + b"a" + np.array([1], "<u4").tobytes() + sizes
    tensor += np.array([number], "<u4").tobytes() + np.array([0], "<u8").tobytes()
    counts = np.array([1, 0], "<u8").tobytes()
    file = tmp_path / "other.gguf"
    file.write_bytes(b"GGUF" + np.array([3], "<u4").tobytes() + counts + tensor + bytes(64))
    with pytest.raises(CheckpointError, match=f"a is stored as {name}; choose a file of F32"):
        read_gguf(file)


def test_every_line_that_names_tensors_of_a_file_is_short(forged, tmp_path):
    tensors = official(forged, "transformer")
    names = {f"{'x' * 900}{n}": torch.ones(1) for n in range(1000)}
    save_file(tensors | names, tmp_path / "more.safetensors")
    with pytest.raises(CheckpointError, match="1000 are not known") as refused:
        loaded(forged, "transformer", tmp_path / "more.safetensors")
    assert len(str(refused.value)) < 900

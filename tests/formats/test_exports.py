"""What is written for other programs: marks, names and types that they look for."""

import warnings
from dataclasses import replace

import gguf
import pytest
import torch
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from helpers.nets import SMALL
from helpers.small_net import assert_equal, on_meta, tensors_of
from safetensors.torch import load_file

from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats import ZERO_COND_T
from qwenimage_ref.formats.fp8 import save_fp8
from qwenimage_ref.formats.gguf import save_gguf
from qwenimage_ref.formats.single_file import save_wan
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights
from qwenimage_ref.repository import POCKET

WIDE = replace(SMALL, num_attention_heads=4)  # 64: whole blocks of 32 and of 64
EDIT_2511 = replace(WIDE, zero_cond_t=True)


def model(config) -> MMDiT:
    return random_weights(on_meta(MMDiT, config), 0)


def names_in(file) -> set[str]:
    if file.suffix == ".gguf":
        return {tensor.name for tensor in gguf.GGUFReader(file).tensors}
    return load_file(file).keys()


def write(mmdit, file):
    save_gguf(mmdit, file, "Q4_0") if file.suffix == ".gguf" else save_fp8(mmdit, file)


every_file = pytest.mark.parametrize("name", ["model.gguf", "model.safetensors"])


@every_file
@pytest.mark.parametrize("config", [WIDE, EDIT_2511], ids=["t2i", "Edit-2511"])
def test_the_mark_by_which_comfyui_knows_edit_2511_is_in_its_files_alone(tmp_path, name, config):
    write(model(config), tmp_path / name)
    assert (ZERO_COND_T in names_in(tmp_path / name)) == config.zero_cond_t


@every_file
@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
def test_edit_2511_stays_itself_under_a_config_that_does_not_say_so(tmp_path, name, streamed):
    write(model(EDIT_2511), tmp_path / name)
    mmdit = on_meta(MMDiT, WIDE)
    load_weights(mmdit, tmp_path / name, torch.float32, streamed=streamed)
    assert mmdit.config == EDIT_2511


@pytest.mark.parametrize("granularity", ["row", "block"])
def test_scales_that_comfyui_does_not_apply_are_written_with_a_warning(tmp_path, granularity):
    with pytest.warns(UserWarning, match=f'scales of a {granularity} .* granularity="tensor"'):
        save_fp8(model(WIDE), tmp_path / "model.safetensors", granularity)


@pytest.mark.parametrize("granularity", ["plain", "tensor"])
def test_what_comfyui_reads_is_written_without_a_word(tmp_path, granularity):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_fp8(model(WIDE), tmp_path / "model.safetensors", granularity)


def test_the_vae_is_written_under_the_names_of_wan_and_read_back(tmp_path):
    vae, again = (empty_network(POCKET, "vae") for _ in range(2))
    load_weights(vae, POCKET / "vae", torch.float32)
    save_wan(vae, tmp_path / "wan.safetensors")
    load_weights(again, tmp_path / "wan.safetensors", torch.float32)
    assert_equal(tensors_of(again), tensors_of(vae))


def test_diffusers_makes_the_official_file_of_our_wan_file(tmp_path):
    vae = empty_network(POCKET, "vae")
    load_weights(vae, POCKET / "vae", torch.bfloat16)
    save_wan(vae, tmp_path / "wan.safetensors")
    converted = convert_wan_vae_to_diffusers(load_file(tmp_path / "wan.safetensors"))
    assert_equal(converted, load_file(next((POCKET / "vae").glob("*.safetensors"))))


def test_a_wan_file_that_cannot_be_written_is_one_line(tmp_path):
    vae = empty_network(POCKET, "vae")
    load_weights(vae, POCKET / "vae")
    with pytest.raises(CheckpointError, match="must end in .safetensors"):
        save_wan(vae, tmp_path / "wan.pt")
    with pytest.raises(CheckpointError, match="cannot write .*; make room there"):
        save_wan(vae, tmp_path / "missing" / "wan.safetensors")

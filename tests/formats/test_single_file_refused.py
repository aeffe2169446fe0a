"""Single files of something else, or damaged: one line that says what they are."""

from pathlib import Path

import pytest
import torch
from helpers.mutations import count_refused, mutated_file
from helpers.single_files import POCKET, PREFIXES, fp8_tower, later, official, prefixed, written
from helpers.small_net import assert_equal, tensors_of

from qwenimage_ref.checkpoint.model_folder import empty_network
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats.recognise import ZERO_COND_T, demand, describe
from qwenimage_ref.formats.single_file import wan_names
from qwenimage_ref.load import load_weights


def test_a_file_that_is_refused_leaves_the_transformer_as_it_was(forged, tmp_path):
    tensors = official(forged, "transformer") | {ZERO_COND_T: torch.tensor([])}
    del tensors["proj_out.bias"]
    mmdit = empty_network(forged, "transformer")
    with pytest.raises(CheckpointError, match=r"1 tensors are missing \(proj_out.bias\)"):
        load_weights(mmdit, written(tmp_path / "half.safetensors", tensors), torch.float32)
    assert all(p.is_meta for p in mmdit.parameters()) and not mmdit.config.zero_cond_t


@pytest.mark.parametrize("extra", ["encoder.conv_in.bias", "encoder.conv9.bias"])
def test_a_name_that_is_not_wan_s_is_refused_among_those_that_are(tmp_path, extra):
    names = wan_names(empty_network(POCKET, "vae"))
    tensors = {names[key]: tensor for key, tensor in official(POCKET, "vae").items()}
    file = written(tmp_path / "wan.safetensors", tensors | {extra: torch.zeros(3)})
    with pytest.raises(CheckpointError, match=f"1 are not known .{extra}"):
        load_weights(empty_network(POCKET, "vae"), file, torch.float32)


def test_a_quantised_vae_is_refused(forged, tmp_path):
    tensors = official(forged, "vae")
    tensors["encoder.conv_in.weight"] = tensors["encoder.conv_in.weight"].to(torch.float8_e4m3fn)
    with pytest.raises(CheckpointError, match="is quantised; a VAE is read in bfloat16"):
        file = written(tmp_path / "vae.safetensors", tensors)
        load_weights(empty_network(forged, "vae"), file, torch.float32)


OTHERS = {
    "transformer_blocks.0.attn.to_q.lora_A.weight": "a LoRA, not the transformer .* with --lora",
    "double_blocks.0.img_attn.qkv.weight": "a FLUX model",
    "single_transformer_blocks.0.attn.to_q.weight": "a FLUX model",
    "model.diffusion_model.input_blocks.0.0.weight": "a Stable Diffusion model",
    "joint_blocks.0.x_block.attn.qkv.weight": "a Stable Diffusion 3 model",
    "blocks.0.cross_attn.k.weight": "the transformer of a Wan model",
    "noise_refiner.0.attention.qkv.weight": "a Z-Image or Lumina model",
    "txt_in.individual_token_refiner.blocks.0.norm1.weight": "a HunyuanVideo model",
    "controlnet_x_embedder.weight": "a ControlNet",
    "transformer_blocks.0.attn.to_qkv.qweight": "of Nunchaku's 4-bit kind",
    "transformer_blocks.0.img_mlp.net.2.weight.quant_state.bitsandbytes__nf4": "bitsandbytes'",
    "decoder.upsamples.0.residual.0.gamma": "the VAE of Qwen-Image, .* it goes with --vae",
    "decoder.upsamples.0.upsamples.0.residual.0.gamma": "the VAE of Wan 2.2",
    "decoder.up_blocks.0.resnets.0.norm1.weight": "the VAE of another model",
    "model.layers.0.self_attn.q_proj.bias": "Qwen2.5-VL.* it goes with --text-encoder",
    "model.layers.0.self_attn.q_norm.weight": "a language model, Qwen3",
    "model.layers.0.self_attn.q_proj.weight": "a language model other than Qwen2.5-VL",
    "encoder.block.0.layer.0.SelfAttention.q.weight": "a T5 text encoder",
    "text_model.encoder.layers.0.mlp.fc1.weight": "a CLIP model",
    "something.weight": r"no tensor has a name of it \(something.weight\)",
}


@pytest.mark.parametrize("key", OTHERS)
def test_a_file_of_another_kind_is_named(tmp_path, key):
    file = written(tmp_path / "other.safetensors", {key: torch.zeros(2)})
    with pytest.raises(CheckpointError, match=OTHERS[key]) as refused:
        demand(file, "transformer")
    assert "\n" not in str(refused.value) and str(file) in str(refused.value)


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "model.bin", "model.safetensors"])
def test_a_pickle_is_never_opened_whatever_its_name(tmp_path, name):
    torch.save({"img_in.weight": torch.zeros(2)}, tmp_path / name)
    with pytest.raises(CheckpointError, match="is a pickle, which can run any code"):
        describe(tmp_path / name)


@pytest.mark.parametrize("length", [0x0280, 0x0380, 0x0480, 0x0580])
def test_a_header_whose_length_begins_as_a_pickle_does_is_no_pickle(tmp_path, length):
    file = written(tmp_path / "one.safetensors", {"img_in.weight": torch.zeros(2)})
    size = int.from_bytes(file.read_bytes()[:8], "little")
    header, numbers = file.read_bytes()[8 : 8 + size], file.read_bytes()[8 + size :]
    file.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + numbers)
    assert file.read_bytes().startswith(b"\x80") and list(describe(file).where) == ["img_in.weight"]


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_a_file_of_a_model_of_another_size_sends_for_its_configs(forged, tmp_path, part):
    file = written(tmp_path / "tiny.safetensors", official(forged, part))
    with pytest.raises(CheckpointError, match=r"wide, by config.json .* this very model"):
        load_weights(empty_network(POCKET, part), file, torch.float32)


def test_a_folder_a_missing_file_and_a_shard_are_told_apart(forged, tmp_path):
    with pytest.raises(CheckpointError, match="must be a file, got a folder; name a file in it"):
        describe(tmp_path)
    with pytest.raises(CheckpointError, match="is missing; is it downloaded"):
        describe(tmp_path / "absent.safetensors")
    shard = tmp_path / "diffusion_pytorch_model-00002-of-00009.safetensors"
    written(shard, official(forged, "transformer"))
    with pytest.raises(CheckpointError, match="is one shard of several; give the folder"):
        load_weights(empty_network(forged, "transformer"), shard, torch.float32)


def test_a_gguf_that_is_not_one_is_refused(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(20))
    with pytest.raises(CheckpointError, match="is cut short or damaged"):
        describe(tmp_path / "model.gguf")


@pytest.mark.parametrize(
    "how, line",
    [
        ("NaN", "img_in.weight holds NaN or infinity"),
        ("shape", "wrong shapes: img_in.weight"),
        ("twice", "with model.diffusion_model. before it and without"),
        ("short", "is cut short or damaged"),
    ],
)
def test_a_damaged_transformer_is_refused_in_one_line(forged, tmp_path, how, line):
    tensors = {PREFIXES[0] + key: t for key, t in official(forged, "transformer").items()}
    key = PREFIXES[0] + "img_in.weight"
    if how == "NaN":
        tensors[key][0, 0] = float("nan")
    if how == "shape":
        tensors[key] = tensors[key][:, 1:].contiguous()
    if how == "twice":
        tensors["img_in.weight"] = tensors[key].clone()
    file = written(tmp_path / "bad.safetensors", tensors)
    if how == "short":
        file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=line):
        load_weights(empty_network(forged, "transformer"), file, torch.float32)


def one_of(forged: Path, part: str, file: Path) -> None:
    """A single file of the tiny model, in the layout that is farthest from the official one."""
    tensors = official(forged, part)
    if part == "vae":
        written(file, tensors, wan_names(empty_network(forged, part)).get)
    elif part == "text_encoder":
        written(file, fp8_tower(tensors, "tensor"), later)
    else:
        written(file, tensors | {ZERO_COND_T: torch.tensor([])}, prefixed(PREFIXES[0]))


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_thirty_damaged_files_are_refused_or_hold_the_same_weights(forged, tmp_path, part):
    file = tmp_path / "one.safetensors"
    one_of(forged, part, file)

    def weights() -> dict[str, torch.Tensor]:
        network = empty_network(forged, part)
        load_weights(network, file, torch.float32)
        return {name: tensor.float() for name, tensor in tensors_of(network).items()}

    good = weights()
    refused = count_refused(0, file, mutated_file, lambda: assert_equal(weights(), good), count=30)
    assert refused > 18

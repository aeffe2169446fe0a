"""Single files of a text encoder: under either names, quantised, streamed."""

import pytest
import torch
from helpers.single_files import EITHER, fp8_tower, later, loaded, official, prefixed, written
from helpers.small_net import assert_equal, tensors_of

from qwenimage_ref.checkpoint.config_files import Configs
from qwenimage_ref.checkpoint.model_folder import StoredTextEncoder, empty_network
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats import fp8
from qwenimage_ref.load import load_weights
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vision import Vision


@pytest.mark.parametrize("prefix", ["", "text_encoders.qwen25_7b.transformer."])
@pytest.mark.parametrize("rename", [prefixed(""), later], ids=["official", "later"])
@EITHER
@torch.no_grad()
def test_a_text_encoder_under_either_names_reads_a_prompt_as_the_folder_s(
    forged, tmp_path, prefix, rename, stream
):
    tensors = official(forged, "text_encoder")
    assert {"visual.patch_embed.proj.weight", "lm_head.weight"} <= tensors.keys()
    file = written(tmp_path / "qwen.safetensors", tensors, lambda key: prefix + rename(key))
    tower = empty_network(forged, "text_encoder")
    load_weights(tower, file, torch.float32, streamed=stream)
    prompt = [(torch.arange(11).unsqueeze(0), None)]
    (ours,), (theirs,) = (t.many(prompt) for t in (tower, loaded(forged, "text_encoder")))
    assert torch.equal(ours, theirs) and ours.std() > 0.1


def test_a_language_tower_alone_is_enough(forged, tmp_path):
    tensors = official(forged, "text_encoder")
    tensors = {key: tensor for key, tensor in tensors.items() if key.startswith("model.")}
    tower = empty_network(forged, "text_encoder")
    load_weights(tower, written(tmp_path / "llm.safetensors", tensors), torch.float32)
    assert_equal(tensors_of(tower), tensors_of(loaded(forged, "text_encoder")))


def test_a_tensor_under_both_names_is_refused(forged, tmp_path):
    tensors = official(forged, "text_encoder")
    both = tensors | {later(key): t.clone() for key, t in tensors.items()}
    with pytest.raises(CheckpointError, match="both.safetensors: .* are the same tensor; keep one"):
        file = written(tmp_path / "both.safetensors", both)
        load_weights(empty_network(forged, "text_encoder"), file, torch.float32)


@pytest.mark.parametrize("how, layout", [("plain", "ComfyUI plain"), ("tensor", "ComfyUI scaled")])
@pytest.mark.parametrize("rename", [prefixed(""), later], ids=["official", "later"])
@torch.no_grad()
def test_an_fp8_text_encoder_stays_packed_and_reads_a_prompt(forged, tmp_path, how, layout, rename):
    tensors = fp8_tower(official(forged, "text_encoder"), how)
    file = written(tmp_path / "fp8.safetensors", tensors, rename)
    tower, prompt = empty_network(forged, "text_encoder"), [(torch.arange(11).unsqueeze(0), None)]
    assert load_weights(tower, file, torch.float32).layout == layout
    packed = [m for m in tower.modules() if isinstance(m, fp8.Fp8Linear)]
    assert len(packed) == 7 * 3 and all(not p.is_meta for p in tower.parameters())
    (ours,), (theirs,) = (t.many(prompt) for t in (tower, loaded(forged, "text_encoder")))
    assert 0 < (ours - theirs).norm() / theirs.norm() < 0.2


@pytest.mark.parametrize("how", ["plain", "tensor", "row"])
@torch.no_grad()
def test_a_streamed_fp8_text_encoder_answers_as_the_resident_one(forged, tmp_path, how):
    tensors = fp8_tower(official(forged, "text_encoder"), how)
    file = written(tmp_path / "fp8.safetensors", tensors, later)
    resident, streamed = (empty_network(forged, "text_encoder") for _ in range(2))
    load_weights(resident, file, torch.float32)
    load_weights(streamed, file, torch.float32, streamed=True)
    prompt = [(torch.arange(11).unsqueeze(0), None)]
    (ours,), (theirs,) = streamed.many(prompt), resident.many(prompt)
    assert [name for name, _ in streamed.named_parameters()] == ["model.norm.weight"]
    assert torch.equal(ours, theirs)


@torch.no_grad()
def test_an_fp8_embedding_is_unpacked_and_not_streamed(forged, tmp_path):
    tensors, key = official(forged, "text_encoder"), "model.embed_tokens.weight"
    quantised = fp8_tower(tensors, "tensor")
    quantised[key], scale = fp8.quantize_fp8(tensors[key], "tensor")
    quantised[key.replace("weight", "scale_weight")] = scale
    file, tower = tmp_path / "fp8.safetensors", empty_network(forged, "text_encoder")
    written(file, quantised)
    with pytest.raises(
        CheckpointError, match="embed_tokens.weight is quantised and cannot stay on disk"
    ):
        load_weights(tower, file, torch.float32, streamed=True)
    load_weights(tower, file, torch.float32)
    embedding = tower.model.embed_tokens.weight
    assert torch.equal(embedding, quantised[key].float() * scale)


def test_the_official_text_encoder_has_the_358_linear_layers_that_comfyui_scales():
    configs = Configs()
    with torch.device("meta"):
        text_encoder = TextEncoder(configs.text_encoder)
        towers = StoredTextEncoder(text_encoder, Vision(configs.vision))
    linears = [name for name, m in towers.named_modules() if isinstance(m, torch.nn.Linear)]
    assert sum(name != "lm_head" for name in linears) == 358
    assert sum(isinstance(m, torch.nn.Linear) for m in text_encoder.modules()) == 7 * 28


@pytest.mark.parametrize(
    "how, line",
    [
        ("no scale", "1 fp8 weights have no scale .*q_proj"),
        ("a scale too many", "input_layernorm.scale_weight belongs to no fp8 weight"),
        ("zero", "the scale of .*q_proj must be above zero"),
        ("NaN", "q_proj.weight holds NaN or infinity"),
        ("wide", r"is F32 \[3\]; a scale is a float of shape \[\] or \[1\]"),
        ("nvfp4", "q_proj.weight_scale_2 is nvfp4, which is not read"),
    ],
)
def test_a_damaged_fp8_text_encoder_is_refused_and_nothing_is_loaded(forged, tmp_path, how, line):
    tensors, layer = fp8_tower(official(forged, "text_encoder"), "tensor"), "model.layers.0."
    weight, scale = (f"{layer}self_attn.q_proj.{name}" for name in ("weight", "scale_weight"))
    if how == "no scale":
        del tensors[scale]
    if how == "a scale too many":
        tensors[f"{layer}input_layernorm.scale_weight"] = torch.ones(())
    if how == "zero":
        tensors[scale] = torch.zeros(())
    if how == "NaN":
        tensors[weight].view(torch.uint8)[0, 0] = 0x7F
    if how == "wide":
        tensors[scale] = torch.ones(3)
    if how == "nvfp4":
        tensors[f"{layer}self_attn.q_proj.weight_scale_2"] = torch.ones(())
    file, tower = (
        written(tmp_path / "fp8.safetensors", tensors),
        empty_network(forged, "text_encoder"),
    )
    with pytest.raises(CheckpointError, match=line):
        load_weights(tower, file, torch.float32)
    assert all(p.is_meta for p in tower.parameters())


def test_a_folder_is_read_under_all_names_that_a_single_file_may_have(forged, tmp_path):
    folder, file = tmp_path / "text_encoder", tmp_path / "text_encoder" / "model.safetensors"
    folder.mkdir()
    written(file, official(forged, "text_encoder"), later)
    from_folder, from_file = (empty_network(forged, "text_encoder") for _ in range(2))
    load_weights(from_folder, folder, torch.float32)
    load_weights(from_file, file, torch.float32)
    assert_equal(tensors_of(from_folder), tensors_of(from_file))

"""Single files in every layout: the same weights as the official folder, or one line that says why.

The Wan names of the VAE are compared with diffusers' own conversion of such files.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers
from helpers.mutations import count_refused, mutated_file
from helpers.small_net import assert_equal, on_meta, tensors_of
from helpers.tiny_model import TINY
from safetensors.torch import load_file, save_file

from qwenimage_ref import QwenImage
from qwenimage_ref.checkpoint import headers, load_into, save
from qwenimage_ref.checkpoint.config_files import Configs
from qwenimage_ref.checkpoint.forge import forge
from qwenimage_ref.checkpoint.model_folder import StoredTextEncoder, empty_network
from qwenimage_ref.checkpoint.stored_form import stored_form
from qwenimage_ref.config import VAEConfig
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats import fp8, gguf, gguf_container
from qwenimage_ref.formats.recognise import PREFIXES as ALL_PREFIXES
from qwenimage_ref.formats.recognise import ZERO_COND_T, demand, describe
from qwenimage_ref.formats.single_file import wan_names
from qwenimage_ref.load import load_weights
from qwenimage_ref.text_encoder import TextEncoder
from qwenimage_ref.vae import VAE
from qwenimage_ref.vision import Vision

PREFIXES, VAE_PREFIXES = ALL_PREFIXES["transformer"], ALL_PREFIXES["vae"]
POCKET = Path(__file__).parents[2] / "data" / "pocket"
LATER = {"model.": "model.language_model.", "visual.": "model.visual."}  # official: later
EITHER = pytest.mark.parametrize("stream", [False, True], ids=["resident", "streamed"])


@pytest.fixture(scope="module")
def forged(tmp_path_factory) -> Path:
    """The tiny model in the official layout, a file for each part."""
    folder = tmp_path_factory.mktemp("forged") / "model"
    forge(folder, TINY)
    return folder


def official(folder: Path, part: str) -> dict[str, torch.Tensor]:
    """Every tensor that the folder stores of a part."""
    return load_file(next((folder / part).glob("*.safetensors")))


def written(file: Path, tensors: dict, rename=lambda key: key, dtype=None) -> Path:
    """A single file of these tensors, under other names and in another type."""
    save_file({rename(key): t.to(dtype or t.dtype) for key, t in tensors.items()}, file)
    return file


def prefixed(prefix: str):
    return lambda key: prefix + key


def later(key: str) -> str:
    """The name that transformers gives it from 4.52 on."""
    start, dot, rest = key.partition(".")
    return LATER.get(start + dot, start + dot) + rest


def calls() -> list[tuple]:
    """What the tiny MMDiT is asked: twelve image tokens, five of text."""
    generator = torch.Generator().manual_seed(0)
    img, txt = (torch.randn(1, *size, generator=generator) for size in ((12, 64), (5, 48)))
    return [(img, txt, torch.tensor([0.7]), [(1, 3, 4)], None)]


def loaded(folder: Path, part: str) -> torch.nn.Module:
    """The part as the folder itself is loaded, in float32."""
    network = empty_network(folder, part)
    load_into(network, folder / part, torch.float32, unused=("visual.", "lm_head."))
    return network


# -- transformer


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


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("gguf") / "model.gguf"
    gguf.save_gguf(loaded(POCKET, "transformer"), file, "Q8_0")
    return file


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


def test_a_file_that_is_refused_leaves_the_transformer_as_it_was(forged, tmp_path):
    tensors = official(forged, "transformer") | {ZERO_COND_T: torch.tensor([])}
    del tensors["proj_out.bias"]
    mmdit = empty_network(forged, "transformer")
    with pytest.raises(CheckpointError, match=r"1 tensors are missing \(proj_out.bias\)"):
        load_weights(mmdit, written(tmp_path / "half.safetensors", tensors), torch.float32)
    assert all(p.is_meta for p in mmdit.parameters()) and not mmdit.config.zero_cond_t


# -- VAE


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


@pytest.mark.parametrize("extra", ["encoder.conv_in.bias", "encoder.conv9.bias"])
def test_a_name_that_is_not_wan_s_is_refused_among_those_that_are(tmp_path, extra):
    names = wan_names(empty_network(POCKET, "vae"))
    tensors = {names[key]: tensor for key, tensor in official(POCKET, "vae").items()}
    file = written(tmp_path / "wan.safetensors", tensors | {extra: torch.zeros(3)})
    with pytest.raises(CheckpointError, match=f"1 are not known .{extra}"):
        load_weights(empty_network(POCKET, "vae"), file, torch.float32)


# -- text encoder


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


def fp8_tower(tensors: dict, how: str) -> dict[str, torch.Tensor]:
    """A text encoder as ComfyUI quantises it: linear layers and those of the vision tower."""
    kept, scales = {}, {}
    for key, tensor in tensors.items():
        layer = key.removesuffix(".weight")
        packed = key.endswith(".weight") and tensor.ndim == 2 and ("proj" in key or "mlp" in key)
        weight, scale = fp8.quantize_fp8(tensor, how) if packed else (tensor, None)
        kept[key] = weight
        scales |= {} if scale is None else {f"{layer}.scale_weight": scale}
    mark = {} if how == "plain" else {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    return kept | scales | mark


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


def test_a_quantised_vae_is_refused(forged, tmp_path):
    tensors = official(forged, "vae")
    tensors["encoder.conv_in.weight"] = tensors["encoder.conv_in.weight"].to(torch.float8_e4m3fn)
    with pytest.raises(CheckpointError, match="is quantised; a VAE is read in bfloat16"):
        file = written(tmp_path / "vae.safetensors", tensors)
        load_weights(empty_network(forged, "vae"), file, torch.float32)


# -- the whole model


@pytest.fixture(scope="module")
def singles(tmp_path_factory) -> dict[str, Path]:
    """The pocket model as ComfyUI would have it: three files, each under names of its own."""
    folder = tmp_path_factory.mktemp("singles")
    names = wan_names(empty_network(POCKET, "vae"))
    rename = {"transformer": prefixed(PREFIXES[0]), "vae": names.get, "text_encoder": later}
    return {
        part: written(folder / f"{part}.safetensors", official(POCKET, part), way)
        for part, way in rename.items()
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


def test_a_wrong_file_is_told_before_any_weights_are_read(singles, configs, monkeypatch):
    monkeypatch.setattr("qwenimage_ref.load.fill", lambda *_: pytest.fail())
    with pytest.raises(CheckpointError, match="it goes with --text-encoder"):
        QwenImage.from_pretrained(configs, **(singles | {"vae": singles["text_encoder"]}))


# -- what something else is


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


def test_a_folder_a_missing_file_and_a_shard_are_told_apart(forged, tmp_path):
    with pytest.raises(CheckpointError, match="is a folder; name a file in it"):
        describe(tmp_path)
    with pytest.raises(CheckpointError, match="is missing; is it downloaded"):
        describe(tmp_path / "absent.safetensors")
    shard = tmp_path / "diffusion_pytorch_model-00002-of-00009.safetensors"
    written(shard, official(forged, "transformer"))
    with pytest.raises(CheckpointError, match="is one shard of several; give the folder"):
        load_weights(empty_network(forged, "transformer"), shard, torch.float32)


def test_a_gguf_that_is_not_one_is_told(tmp_path):
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


def test_a_folder_is_read_under_all_names_that_a_single_file_may_have(forged, tmp_path):
    folder, file = tmp_path / "text_encoder", tmp_path / "text_encoder" / "model.safetensors"
    folder.mkdir()
    written(file, official(forged, "text_encoder"), later)
    from_folder, from_file = (empty_network(forged, "text_encoder") for _ in range(2))
    load_weights(from_folder, folder, torch.float32)
    load_weights(from_file, file, torch.float32)
    assert_equal(tensors_of(from_folder), tensors_of(from_file))

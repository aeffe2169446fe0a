"""LoRA files of every dialect, written by peft and diffusers or as they write; and bad ones."""

import json

import pytest
import torch
from diffusers import QwenImagePipeline
from helpers.nets import SMALL, filled, model, velocity
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from qwenimage_ref.adapt import lora
from qwenimage_ref.parity.reference import copy_weights, reference_mmdit

BLOCK = "transformer_blocks.0"
LAYERS = (f"{BLOCK}.attn.to_q", f"{BLOCK}.attn.to_out.0", f"{BLOCK}.img_mlp.net.0.proj")
RANK, ALPHA = 4, 2.0


def matrices() -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """{layer: (A, B)} that everything below is written from"""
    generator, pairs, mmdit = torch.Generator().manual_seed(5), {}, model()
    for name in LAYERS:
        out, in_ = mmdit.get_submodule(name).weight.shape
        A = torch.randn(RANK, in_, generator=generator)
        pairs[name] = A, torch.randn(out, RANK, generator=generator) / 10
    return pairs


def written(down: str, up: str, name=lambda layer: layer, alpha: float | None = None) -> dict:
    """The matrices under the keys of one dialect."""
    tensors = {}
    for layer, (A, B) in matrices().items():
        tensors[f"{name(layer)}.{down}.weight"], tensors[f"{name(layer)}.{up}.weight"] = A, B
        if alpha is not None:
            tensors[f"{name(layer)}.alpha"] = torch.tensor(alpha)
    return tensors


def prefixed(prefix):
    return lambda layer: prefix + layer


def kohya(layer):
    return "lora_unet_" + layer.replace(".", "_")


def file_of(tmp_path, tensors, metadata=None):
    path = tmp_path / "some.safetensors"
    save_file(tensors, path, metadata=metadata)
    return path


DIFFUSERS_METADATA = {
    "lora_adapter_metadata": json.dumps({"transformer.r": RANK, "transformer.lora_alpha": ALPHA})
}
DIALECTS = {  # name of the dialect: tensors, metadata, how often B A counts
    "PEFT/diffusers": (written("lora_A", "lora_B", prefixed("transformer.")), None, 1),
    "PEFT/diffusers with alpha": (
        written("lora_A", "lora_B", prefixed("transformer.")), DIFFUSERS_METADATA, ALPHA / RANK,
    ),
    "PEFT without prefix": (written("lora_A", "lora_B"), None, 1),
    "kohya/musubi": (written("lora_down", "lora_up", kohya, ALPHA), None, ALPHA / RANK),
    "Lightning": (written("lora_down", "lora_up", alpha=ALPHA), None, ALPHA / RANK),
    "Lightning without alpha": (written("lora_down", "lora_up"), None, 1),
    "ComfyUI": (
        written("lora_down", "lora_up", prefixed("diffusion_model."), ALPHA), None, ALPHA / RANK,
    ),
    "ComfyUI with A and B and alpha": (
        written("lora_A", "lora_B", prefixed("model.diffusion_model."), ALPHA), None, ALPHA / RANK,
    ),
    "DiffSynth": (written("lora_A.default", "lora_B.default"), None, 1),
    "DiffSynth with the name of its pipeline": (
        written("lora_A.default", "lora_B.default", prefixed("pipe.dit.")), None, 1,
    ),
    "legacy diffusers": (
        written("lora.down", "lora.up", prefixed("transformer.")), None, 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_file_of_this_dialect_loads_whole_and_at_its_scale(dialect, tmp_path):
    tensors, metadata, times = DIALECTS[dialect]
    mmdit = model()
    report = lora.load(mmdit, file_of(tmp_path, tensors, metadata))
    assert report.matched == len(LAYERS) and dialect.startswith(report.dialect)
    for layer, (A, B) in matrices().items():
        delta = report.adapter.named_pairs()[layer].delta()
        torch.testing.assert_close(delta, times * (B @ A))


def test_the_scale_multiplies_what_the_file_says(tmp_path):
    mmdit = model()
    plain = velocity(mmdit)
    path = file_of(tmp_path, DIALECTS["Lightning"][0])
    assert "scale 0.5" in str(lora.load(mmdit, path, scale=0.5))
    halved = velocity(mmdit)
    lora.adapters(mmdit)[0].scale = 1.0
    whole = velocity(mmdit)
    assert 0 < (halved - plain).norm() < (whole - plain).norm()


# -- beside peft and diffusers


def twin_of(mmdit):
    return copy_weights(mmdit, reference_mmdit(SMALL))


def deltas(reference) -> dict[str, torch.Tensor]:
    """{layer: what peft adds to its weight}"""
    return {
        name.removeprefix("base_model.model."): module.get_delta_weight(module.active_adapters[0])
        for name, module in reference.named_modules()
        if hasattr(module, "get_delta_weight")
    }


def assert_same_deltas(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, pair in ours.items():
        torch.testing.assert_close(pair.delta(), theirs[name].float(), msg=name)


CONFIG = dict(r=RANK, lora_alpha=2 * RANK, target_modules=["to_q", "img_mod.1", "net.2"])


def test_a_folder_that_peft_wrote_loads_with_equal_deltas(tmp_path):
    for settings in ({}, {"use_rslora": True}, {"alpha_pattern": {"attn.to_q": 3}}):
        wrapped = get_peft_model(
            twin_of(model()), LoraConfig(**CONFIG, **settings, init_lora_weights=False)
        )
        wrapped.save_pretrained(tmp_path)
        mmdit = model()
        report = lora.load(mmdit, tmp_path)
        assert report.dialect == "PEFT folder" and report.alpha_given
        assert_same_deltas(report.adapter.named_pairs(), deltas(wrapped))


def test_a_file_that_diffusers_wrote_loads_with_equal_deltas(tmp_path):
    reference = twin_of(model())
    reference.add_adapter(LoraConfig(**CONFIG, init_lora_weights=False))
    QwenImagePipeline.save_lora_weights(
        tmp_path,
        transformer_lora_layers=get_peft_model_state_dict(reference),
        transformer_lora_adapter_metadata=reference.peft_config["default"].to_dict(),
    )
    mmdit = model()
    report = lora.load(mmdit, tmp_path / "pytorch_lora_weights.safetensors")
    assert report.dialect == "PEFT/diffusers" and report.alphas == (2 * RANK,)
    assert_same_deltas(report.adapter.named_pairs(), deltas(reference))


def test_what_we_wrote_loads_in_diffusers_with_equal_deltas(tmp_path):
    mmdit = model()
    adapter = filled(lora.inject(mmdit, lora.TARGETS["musubi"], rank=RANK, alpha=1.0))
    lora.save(mmdit, tmp_path / "ours.safetensors")
    reference = twin_of(model())
    # careful: the pipeline reads alpha from the metadata; a transformer alone takes it for the rank
    tensors, metadata = QwenImagePipeline.lora_state_dict(
        tmp_path / "ours.safetensors", return_lora_metadata=True
    )
    QwenImagePipeline.load_lora_into_transformer(tensors, reference, metadata=metadata)
    assert_same_deltas(adapter.named_pairs(), deltas(reference))


def test_what_we_wrote_loads_in_peft(tmp_path):
    mmdit = model()
    adapter = filled(lora.inject(mmdit, lora.TARGETS["diffusers"], rank=RANK, alpha=1.0))
    lora.save(mmdit, tmp_path / "ours.safetensors")
    tensors = load_file(tmp_path / "ours.safetensors")
    folder = tmp_path / "adapter"
    folder.mkdir()
    in_peft = {"diffusion_model.": "base_model.model.", "lora_down": "lora_A", "lora_up": "lora_B"}
    for ours, theirs in in_peft.items():
        tensors = {key.replace(ours, theirs): tensor for key, tensor in tensors.items()}
    tensors = {key: tensor for key, tensor in tensors.items() if not key.endswith(".alpha")}
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = LoraConfig(r=RANK, lora_alpha=1.0, target_modules=sorted(adapter.named_pairs()))
    settings.save_pretrained(folder)
    assert_same_deltas(
        adapter.named_pairs(), deltas(PeftModel.from_pretrained(twin_of(model()), folder))
    )


# -- what is refused: one line, and the model is unchanged


def refused(path, words):
    mmdit = model()
    plain = velocity(mmdit)
    with pytest.raises(lora.LoRAError, match=words) as failure:
        lora.load(mmdit, path)
    assert "\n" not in str(failure.value)
    assert lora.adapters(mmdit) == [] and torch.equal(velocity(mmdit), plain)


def good() -> dict:
    return written("lora_down", "lora_up", alpha=ALPHA)


def without(part):
    return lambda: {k: t for k, t in good().items() if k != f"{LAYERS[1]}.{part}"}


def changed(part, value):
    return lambda: good() | {f"{LAYERS[1]}.{part}": value}


def under_other_names(old, new):
    return lambda: {key.replace(old, new): tensor for key, tensor in good().items()}


BAD = {
    "half a pair": (without("lora_up.weight"), "two matrices, got no up matrix"),
    "the other half": (without("lora_down.weight"), "two matrices, got no down matrix"),
    "one alpha missing": (
        without("alpha"),
        "all layers or none must have an alpha, 1 of 3 have none",
    ),
    "alpha zero": (
        changed("alpha", torch.tensor(0.0)),
        "alpha must be finite and non-zero, got 0.0",
    ),
    "alpha not a number": (
        changed("alpha", torch.tensor(torch.nan)),
        "alpha must be finite and non-zero, got nan",
    ),
    "alpha of two numbers": (
        changed("alpha", torch.ones(2)),
        "must have one number as alpha, got 2",
    ),
    "NaN deltas": (
        changed("lora_up.weight", torch.full((32, RANK), torch.nan)),
        "must have finite real numbers in its up matrix",
    ),
    "another width": (
        changed("lora_down.weight", torch.ones(RANK, 99)),
        r"matrices for a layer of \[32, 32\], got \[4, 99\] and \[32, 4\]",
    ),
    "ranks that differ": (changed("lora_down.weight", torch.ones(RANK + 1, 32)), "matrices for"),
    "another base model": (
        under_other_names("transformer_blocks", "double_blocks"),
        "9 keys name no layer of this model",
    ),
    "too many blocks": (under_other_names("blocks.0", "blocks.7"), "9 keys name no layer"),
    "one key too many": (
        lambda: good() | {"transformer_blocks.0.attn.norm_q.lora_up.weight": torch.ones(2, 2)},
        "1 keys name no layer",
    ),
    "the same layer twice": (
        lambda: good() | {f"transformer.{LAYERS[0]}.lora_A.weight": torch.ones(RANK, 32)},
        "are for the same layer; a file holds one adapter",
    ),
    "two adapters": (
        lambda: written("lora_A.one", "lora_B.one") | written("lora_A.two", "lora_B.two"),
        "are for the same layer",
    ),
    "the text encoder": (
        lambda: {"text_encoder.model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 2)},
        "it adapts the text encoder",
    ),
    "OFT": (
        lambda: {"lycoris_transformer_blocks_0_attn_to_q.oft_blocks": torch.ones(4, 8, 8)},
        "it has parts of another method, OFT",
    ),
    "nothing": (dict, "must hold 1 to 20,000 tensors, got 0"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_with_this_fault_is_refused(what, tmp_path):
    make, words = BAD[what]
    refused(file_of(tmp_path, make()), words)


def test_half_a_file_is_refused(tmp_path):
    path = file_of(tmp_path, good())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut short or damaged"):
        lora.load(model(), path)


def test_a_pickle_and_a_missing_file_are_refused(tmp_path):
    (tmp_path / "some.pt").write_bytes(b"cos\nsystem\n")
    refused(tmp_path / "some.pt", "is a pickle, which can run code")
    refused(tmp_path / "none.safetensors", "is missing")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_model.bin").write_bytes(b"")
    refused(tmp_path / "adapter", "adapter_model.bin is a pickle")


def test_a_folder_without_its_config_is_refused(tmp_path):
    tensors = written("lora_A", "lora_B", prefixed("base_model.model."))
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    refused(tmp_path, "adapter_config.json, which states alpha, cannot be read: No such file")
    (tmp_path / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 0}')
    refused(tmp_path, "adapter_config.json: lora_alpha must be finite and non-zero, got 0")

"""What other programs put into LoRA files: whole changes, wrapped names, other networks, float8."""

import json

import pytest
import torch
from helpers import speed
from helpers.nets import SMALL, filled, model, velocity
from safetensors.torch import load_file, save_file

from qwenimage_ref.adapt import lora, lora_files
from qwenimage_ref.checkpoint import save
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT

QUERY, NORM = "transformer_blocks.0.attn.to_q", "transformer_blocks.1.attn.norm_added_k"
RANK, WIDTH = 2, 32


def drawn(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed)) / 10


def pair_of(name=QUERY, prefix="diffusion_model.") -> dict[str, torch.Tensor]:
    return {
        f"{prefix}{name}.lora_down.weight": drawn(RANK, WIDTH),
        f"{prefix}{name}.lora_up.weight": drawn(WIDTH, RANK, seed=1),
    }


def file_of(tmp_path, tensors, metadata=None):
    save_file(tensors, tmp_path / "some.safetensors", metadata=metadata)
    return tmp_path / "some.safetensors"


def refused(path, words, **options):
    mmdit, plain = model(), velocity(model())
    with pytest.raises(lora.LoRAError, match=words) as failure:
        lora.load(mmdit, path, **options)
    assert "\n" not in str(failure.value) and len(str(failure.value)) < 900
    assert lora.adapters(mmdit) == [] and torch.equal(velocity(mmdit), plain)


# -- full differences


def comfy_file(tmp_path):
    """What ComfyUI's LoraSave writes: pairs, .diff of norms and of whole weights, .diff_b"""
    tensors = pair_of() | {
        f"diffusion_model.{QUERY}.diff_b": drawn(WIDTH, seed=2),
        f"diffusion_model.{NORM}.diff": drawn(WIDTH // 2, seed=3),
        "diffusion_model.txt_norm.diff": drawn(40, seed=4),
        "diffusion_model.proj_out.diff": drawn(64, WIDTH, seed=5),
        "diffusion_model.proj_out.diff_b": drawn(64, seed=6),
        "diffusion_model.img_in.diff_b": drawn(WIDTH, seed=7),
    }
    return file_of(tmp_path, tensors), tensors


def changed_by_hand(tensors, scale=1.0) -> MMDiT:
    """A model whose parameters hold what the file says."""
    mmdit = model()
    for key, change in tensors.items():
        layer, _, kind = key.removeprefix("diffusion_model.").rpartition(".")
        if kind in ("diff", "diff_b"):
            parameter = {"diff": "weight", "diff_b": "bias"}[kind]
            getattr(mmdit.get_submodule(layer), parameter).data += scale * change
    A, B = (tensors[f"diffusion_model.{QUERY}.lora_{part}.weight"] for part in ("down", "up"))
    mmdit.get_submodule(QUERY).weight.data += scale * B @ A
    return mmdit


@pytest.mark.parametrize("scale", [1.0, -0.5])
def test_changes_of_weights_biases_and_norms_count_as_in_the_parameters(scale, tmp_path):
    path, tensors = comfy_file(tmp_path)
    mmdit = model()
    report = lora.load(mmdit, path, scale)
    torch.testing.assert_close(velocity(mmdit), velocity(changed_by_hand(tensors, scale)))
    assert (report.matched, report.differences) == (1, 5)
    assert "1 of 34 linear layers, rank 2" in str(report) and "5 full differences" in str(report)


@pytest.mark.parametrize("key", ["txt_norm.diff", f"{NORM}.diff", "img_in.diff_b", "proj_out.diff"])
def test_each_change_alone_changes_the_velocity(key, tmp_path):
    tensors = {k: t for k, t in comfy_file(tmp_path)[1].items() if k.endswith(f".{key}")}
    mmdit, plain = model(), velocity(model())
    report = lora.load(mmdit, file_of(tmp_path, tensors))
    assert report.matched == 0 and not torch.equal(velocity(mmdit), plain)
    assert "1 full differences" in str(report) and "rank" not in str(report)


def test_full_differences_are_merged_and_given_back_to_the_last_bit(tmp_path):
    path, tensors = comfy_file(tmp_path)
    mmdit = model()
    report = lora.load(mmdit, path)
    lora.merge(mmdit)
    assert torch.equal(velocity(mmdit), velocity(changed_by_hand(tensors)))
    report.adapter.remove()
    for name, parameter in model().named_parameters():
        assert torch.equal(parameter, mmdit.get_parameter(name)), name


def test_full_differences_are_saved_with_the_pairs(tmp_path):
    path, tensors = comfy_file(tmp_path)
    mmdit = model()
    lora.load(mmdit, path)
    lora.save(mmdit, tmp_path / "again.safetensors")
    again = load_file(tmp_path / "again.safetensors")
    assert again.pop(f"diffusion_model.{QUERY}.alpha") == RANK
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[key], tensors[key]) for key in tensors)


def test_full_differences_act_on_streamed_blocks_as_on_resident_ones(tmp_path):
    path, _ = comfy_file(tmp_path)
    resident = model()
    save(resident, tmp_path / "mmdit")
    with torch.device("meta"):
        streamed = MMDiT(SMALL)
    load_weights(streamed, tmp_path / "mmdit", torch.float32, streamed=True)
    for mmdit in (resident, streamed):
        lora.load(mmdit, path)
    assert torch.equal(velocity(streamed), velocity(resident))


def test_a_norm_named_as_lycoris_does_is_read(tmp_path):
    key = "lycoris_" + NORM.replace(".", "_") + ".w_norm"
    assert lora.load(model(), file_of(tmp_path, {key: drawn(WIDTH // 2)})).differences == 1


def test_an_alpha_beside_a_norm_is_read_and_changes_nothing(tmp_path):
    key, velocities = "lycoris_" + NORM.replace(".", "_"), []
    for alpha in ({}, {f"{key}.alpha": torch.tensor(4.0)}):
        mmdit = model()
        lora.load(mmdit, file_of(tmp_path, {f"{key}.w_norm": drawn(WIDTH // 2)} | alpha))
        velocities.append(velocity(mmdit))
    assert torch.equal(*velocities)


def test_a_bias_of_the_up_matrix_is_scaled_as_its_product_is(tmp_path):
    name = f"transformer.{QUERY}"
    tensors = {
        f"{name}.lora_A.weight": drawn(RANK, WIDTH), f"{name}.lora_B.weight": drawn(WIDTH, RANK),
        f"{name}.lora_B.bias": drawn(WIDTH, seed=2),
    }  # fmt: skip
    mmdit, twin = model(), model()
    lora.load(mmdit, file_of(tmp_path, tensors, {"lora_alpha": "4"}))
    A, B, bias = tensors.values()
    twin.get_submodule(QUERY).weight.data += 2 * B @ A
    twin.get_submodule(QUERY).bias.data += 2 * bias
    torch.testing.assert_close(velocity(mmdit), velocity(twin))


BAD = {
    "a difference of another shape": (
        {"txt_norm.diff": torch.ones(41)}, r"txt_norm must have a weight difference of \[40\], got",
    ),
    "a difference without finite numbers": (
        {"txt_norm.diff": torch.full((40,), torch.inf)}, "finite real numbers in its weight diff",
    ),
    "a bias of a norm": ({"txt_norm.diff_b": torch.ones(40)}, "1 keys name no layer"),
    "a product and a difference": (
        pair_of(prefix="") | {f"{QUERY}.diff": torch.ones(WIDTH, WIDTH)}, "or a full difference",
    ),
    "two changes of a bias": (
        pair_of(prefix="")
        | {f"{QUERY}.diff_b": torch.ones(WIDTH), f"{QUERY}.lora_up.bias": torch.ones(WIDTH)},
        "must have one change of its bias, got two",
    ),
    "alpha alone": ({f"{QUERY}.alpha": torch.ones(())}, "two matrices, got only alpha"),
    "a product beyond float32": (
        {key: 1e30 * tensor for key, tensor in pair_of().items()}, "a product within float32, got",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_file_with_this_fault_is_refused(what, tmp_path):
    tensors, words = BAD[what]
    refused(file_of(tmp_path, tensors), words)


def test_a_file_of_too_many_keys_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lora_files, "MOST_KEYS", 2)
    assert lora.load(model(), file_of(tmp_path, pair_of())).matched == 1
    path = file_of(tmp_path, pair_of() | {f"{QUERY}.alpha": torch.ones(())})
    refused(path, "must hold 1 to 2 tensors, got 3")


# -- names


@pytest.mark.parametrize(
    "name",
    [
        f"transformer._orig_mod.{QUERY}",
        "transformer.transformer_blocks.0._orig_mod.attn.to_q",
        f"module.{QUERY}",
        f"module._orig_mod.{QUERY}",
        f"_fsdp_wrapped_module.{QUERY}",
        "base_model.model.transformer_blocks.0._fsdp_wrapped_module._checkpoint_wrapped_module"
        ".attn.to_q",
        *(
            f"lora_unet_{wrapper}_transformer_blocks_0_attn_to_q"
            for wrapper in ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
        ),
    ],
)
def test_names_of_a_wrapped_model_are_those_of_the_model(name, tmp_path):
    report = lora.load(model(), file_of(tmp_path, pair_of(name, "")))
    assert list(report.adapter.named_pairs()) == [QUERY]


@pytest.mark.parametrize("part", ["transformer.", "module.", "a.", "lora_A.", "_orig_mod."])
def test_a_long_key_is_refused_in_a_short_line(part, tmp_path):
    key = part * (900 // len(part)) + "x.lora_A.weight"
    refused(file_of(tmp_path, pair_of() | {key: torch.ones(1)}), r"1 keys name no layer .*\.\.\.")


def test_thousands_of_long_keys_are_refused_within_seconds(tmp_path):
    keys = [f"{'transformer.' * 80}{i}.lora_A.weight" for i in range(5_000)]
    path = file_of(tmp_path, pair_of() | {key: torch.ones(0) for key in keys})
    with speed.at_most(3):
        refused(path, "5000 keys name no layer")


def test_prefixes_may_come_three_times_but_not_on_and_on(tmp_path):
    twice = file_of(tmp_path, pair_of(prefix="base_model.model.transformer."))
    assert lora.load(model(), twice).dialect == "PEFT folder"
    assert lora.load(model(), file_of(tmp_path, pair_of(prefix="transformer." * 3))).matched == 1
    refused(file_of(tmp_path, pair_of(prefix="transformer." * 4)), "2 keys name no layer")


def test_a_file_that_begins_with_its_up_matrix_is_of_the_same_dialect(tmp_path):
    down, up = pair_of(prefix="").values()
    # tensors lie in the order of their types, float32 before float16
    names = {f"{QUERY}.lora_A.weight": down.half(), f"{QUERY}.lora_B.weight": up}
    report = lora.load(model(), file_of(tmp_path, names))
    assert report.dialect == "PEFT without prefix"


# -- other networks and methods


LEFT_OUT = {
    "text encoder": {
        "text_encoder.model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(1, 2),
        "text_encoder.model.layers.0.self_attn.q_proj.lora_B.weight": torch.ones(2, 1),
    },
    "text encoder, as ComfyUI names it": {
        "text_encoders.qwen25_7b.transformer.model.layers.0.mlp.up_proj.lora_up.weight": drawn(2, 1)
    },
    "modules_to_save": {"base_model.model.proj_out.weight": drawn(64, WIDTH)},
    "another method": {"transformer_blocks.1.attn.to_q.oft_r": drawn(2, 2)},
}
METHODS = {
    "lokr_t2": "LoKr with a core", "hada_t1": "LoHa with a core",
    "lora_mid.weight": "LoCon with a core", "oft_blocks": "OFT",
}  # fmt: skip
TEXT_KEYS = [
    "text_encoder.layers.0.lora_A.weight", "text_encoders.qwen25_7b.lora_A.weight",
    "lora_te_layers_0.lora_down.weight", "lora_te1_layers_0.lora_down.weight",
    "text_model.layers.0.lora_A.weight", "te_layers_0.lora_down.weight",
    "model.layers.0.mlp.lora_A.weight", "clip_l.layers.0.lora_A.weight",
    "base_model.model.model.layers.0.mlp.lora_A.weight", "_orig_mod.te_layers_0.alpha",
]  # fmt: skip
WORDS = {
    "text encoder": "it adapts the text encoder",
    "text encoder, as ComfyUI names it": "it adapts the text encoder",
    "modules_to_save": "it replaces whole weights .* as PEFT's modules_to_save does",
    "another method": "it has parts of another method, OFT",
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_keys_of_other_networks_are_named_and_the_rest_loads_when_asked(what, tmp_path):
    path = file_of(tmp_path, pair_of() | LEFT_OUT[what])
    refused(path, f"{WORDS[what]}.*; --lora-partial, or partial=True, loads the rest")
    mmdit, twin = model(), model()
    report = lora.load(mmdit, path, partial=True)
    lora.load(twin, file_of(tmp_path, pair_of()))
    assert torch.equal(velocity(mmdit), velocity(twin))
    assert set(report.left_out) == LEFT_OUT[what].keys()
    assert f"{len(report.left_out)} keys left out ({next(iter(report.left_out))}" in str(report)


@pytest.mark.parametrize("what", LEFT_OUT)
def test_a_file_of_nothing_else_is_refused_though_partly_would_do(what, tmp_path):
    refused(file_of(tmp_path, LEFT_OUT[what]), f"{WORDS[what]}.*$", partial=True)


@pytest.mark.parametrize("ending", METHODS)
def test_another_method_is_called_by_its_name(ending, tmp_path):
    path = file_of(tmp_path, {f"{QUERY}.{ending}": torch.ones(2, 2)})
    refused(path, rf"it has parts of another method, {METHODS[ending]} \({QUERY}.{ending}\)")


@pytest.mark.parametrize("key", TEXT_KEYS)
def test_a_key_of_a_text_encoder_is_recognised(key, tmp_path):
    refused(file_of(tmp_path, {key: torch.ones(2, 2)}), rf"adapts the text encoder \({key}\)")


@pytest.mark.parametrize("parameter", ["weight", "bias"])
def test_a_parameter_stored_whole_is_recognised(parameter, tmp_path):
    path = file_of(tmp_path, {f"base_model.model.proj_out.{parameter}": torch.ones(64)})
    refused(path, f"it replaces whole weights .*proj_out.{parameter}")


@pytest.mark.parametrize("ending", ["oft_blocks", "lora_mid.weight", "oft_r.default.weight"])
def test_a_pair_that_another_method_changes_is_left_out_whole(ending, tmp_path):
    other = "transformer_blocks.1.attn.to_k"
    extra = {f"diffusion_model.{other}.{ending}": torch.ones(WIDTH, 1)}
    path = file_of(tmp_path, pair_of() | pair_of(other) | extra)
    report = lora.load(model(), path, partial=True)
    assert list(report.adapter.named_pairs()) == [QUERY]
    assert set(report.left_out) == pair_of(other).keys() | extra.keys()


# -- float8


@pytest.mark.parametrize("stored", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_matrices_in_float8_are_read_exactly(stored, tmp_path):
    rounded = {key: tensor.to(stored) for key, tensor in pair_of().items()}
    mmdit, twin = model(), model()
    lora.load(mmdit, file_of(tmp_path, rounded))
    lora.load(twin, file_of(tmp_path, {key: tensor.float() for key, tensor in rounded.items()}))
    assert torch.equal(velocity(mmdit), velocity(twin))


# -- what we write, in the words of other readers


def test_our_file_has_the_keys_that_comfyui_musubi_and_diffsynth_look_for(tmp_path):
    mmdit = model()
    filled(lora.inject(mmdit, QUERY, rank=RANK, alpha=1.0))
    lora.save(mmdit, tmp_path / "ours.safetensors")
    tensors = load_file(tmp_path / "ours.safetensors")
    assert {key: list(tensor.shape) for key, tensor in tensors.items()} == {
        f"diffusion_model.{QUERY}.lora_down.weight": [RANK, WIDTH],
        f"diffusion_model.{QUERY}.lora_up.weight": [WIDTH, RANK],
        f"diffusion_model.{QUERY}.alpha": [],
    }
    assert tensors[f"diffusion_model.{QUERY}.alpha"].item() == 1.0


def test_a_file_of_an_earlier_version_is_read_as_before(tmp_path):
    settings = {"transformer.r": RANK, "transformer.lora_alpha": 1.0}
    names = {"lora_down": "lora_A", "lora_up": "lora_B", "diffusion_model.": "transformer."}
    tensors = pair_of()
    for new, old in names.items():
        tensors = {key.replace(new, old): tensor for key, tensor in tensors.items()}
    metadata = {"lora_adapter_metadata": json.dumps(settings)}
    report = lora.load(model(), file_of(tmp_path, tensors, metadata))
    assert report.dialect == "PEFT/diffusers" and report.alphas == (1.0,)

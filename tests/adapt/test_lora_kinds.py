"""LoKr, LoHa and DoRA: as LyCORIS and peft compute them, merged, saved, streamed; and bad files."""

from pathlib import Path

import pytest
import torch
from helpers.nets import SMALL, model, velocity
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from qwenimage_ref.adapt import lora
from qwenimage_ref.checkpoint import save
from qwenimage_ref.formats.gguf import save_gguf
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import copy_weights, reference_mmdit

# adapters, inputs and outputs of lycoris-lora 4.1.3, of one layer of [32, 32] each
GOLDEN = load_file(Path(__file__).parents[1] / "golden" / "lycoris.safetensors")
CASES = sorted({key.split(":")[0] for key in GOLDEN if ": " in key})
QUERY = "transformer_blocks.0.attn.to_q"
PREFIXES = {
    "kohya": "lora_unet_transformer_blocks_0_attn_to_q",
    "LyCORIS": "lycoris_transformer_blocks_0_attn_to_q",
    "ComfyUI": f"diffusion_model.{QUERY}",
    "ai-toolkit": f"transformer.{QUERY}",
}


def adapter_of(case: str, prefix: str = f"diffusion_model.{QUERY}") -> dict[str, torch.Tensor]:
    """The tensors that LyCORIS stores of a layer, under these keys"""
    parts = {key.split("/")[1]: t for key, t in GOLDEN.items() if key.startswith(f"{case}/")}
    return {f"{prefix}.{part}": tensor for part, tensor in parts.items()}


def file_of(tmp_path, tensors):
    save_file(tensors, tmp_path / "some.safetensors")
    return tmp_path / "some.safetensors"


def golden_model(case: str) -> MMDiT:
    """The small model with the layer that LyCORIS changed."""
    mmdit = model()
    mmdit.get_submodule(QUERY).weight.data.copy_(GOLDEN[f"{case}: weight"])
    return mmdit


def outputs(mmdit, case: str) -> torch.Tensor:
    """What the layer returns for LyCORIS' inputs, without its bias"""
    layer = mmdit.get_submodule(QUERY)
    return (layer(GOLDEN[f"{case}: input"]) - layer.bias).detach()


# -- LyCORIS


@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
@pytest.mark.parametrize("case", CASES)
def test_a_file_of_lycoris_changes_its_layer_as_there(case, prefix, tmp_path):
    mmdit = golden_model(case)
    report = lora.load(mmdit, file_of(tmp_path, adapter_of(case, prefix)))
    assert report.matched == 1 and not report.left_out
    torch.testing.assert_close(outputs(mmdit, case), GOLDEN[f"{case}: output"])


@pytest.mark.parametrize("case", CASES)
def test_merged_into_the_weight_it_gives_the_same_and_is_taken_back(case, tmp_path):
    mmdit = golden_model(case)
    lora.load(mmdit, file_of(tmp_path, adapter_of(case)))
    lora.merge(mmdit)
    torch.testing.assert_close(outputs(mmdit, case), GOLDEN[f"{case}: output"])
    lora.unmerge(mmdit)
    assert torch.equal(mmdit.get_submodule(QUERY).weight, GOLDEN[f"{case}: weight"])


@pytest.mark.parametrize("case", CASES)
def test_half_the_scale_is_half_the_way(case, tmp_path):
    mmdit = golden_model(case)
    plain = outputs(mmdit, case)
    lora.load(mmdit, file_of(tmp_path, adapter_of(case)), scale=0.5)
    torch.testing.assert_close(outputs(mmdit, case), (plain + GOLDEN[f"{case}: output"]) / 2)


@pytest.mark.parametrize("case", CASES)
def test_saved_again_it_has_the_tensors_that_were_read(case, tmp_path):
    mmdit = golden_model(case)
    lora.load(mmdit, file_of(tmp_path, adapter_of(case)))
    lora.save(mmdit, tmp_path / "again.safetensors")
    again, before = load_file(tmp_path / "again.safetensors"), adapter_of(case)
    if "whole factors" in case:  # of no effect there
        before.pop(f"diffusion_model.{QUERY}.alpha")
    assert again.keys() == before.keys()
    assert all(torch.equal(again[key], before[key]) for key in before)


def test_a_report_names_the_kind_and_no_rank_where_there_is_none(tmp_path):
    report = lora.load(model(), file_of(tmp_path, adapter_of("LoKr of whole factors")))
    assert "ComfyUI and LoKr, 1 of 34 linear layers, scale 1" in str(report)
    report = lora.load(model(), file_of(tmp_path, adapter_of("LoHa with lengths")))
    assert "ComfyUI and DoRA, 1 of 34 linear layers, rank 2, alpha 1" in str(report)


def test_streamed_and_quantised_blocks_are_changed_as_resident_ones(tmp_path):
    path = file_of(tmp_path, adapter_of("LoHa with lengths"))
    resident = model()
    save(resident, tmp_path / "mmdit")
    with torch.device("meta"):
        streamed = MMDiT(SMALL)
    load_weights(streamed, tmp_path / "mmdit", torch.float32, streamed=True)
    for mmdit in (resident, streamed):
        lora.load(mmdit, path)
    assert torch.equal(velocity(streamed), velocity(resident))
    save_gguf(model(), tmp_path / "model.gguf")
    with torch.device("meta"):
        packed, unpacked = MMDiT(SMALL), MMDiT(SMALL)
    load_weights(packed, tmp_path / "model.gguf", torch.float32)
    save(packed, tmp_path / "unpacked")
    load_weights(unpacked, tmp_path / "unpacked", torch.float32)
    for mmdit in (packed, unpacked):
        lora.load(mmdit, path)
    torch.testing.assert_close(velocity(packed), velocity(unpacked))


def test_a_streamed_layer_cannot_take_a_dora_into_its_weight(tmp_path):
    save(model(), tmp_path / "mmdit")
    with torch.device("meta"):
        streamed = MMDiT(SMALL)
    load_weights(streamed, tmp_path / "mmdit", torch.float32, streamed=True)
    lora.load(streamed, file_of(tmp_path, adapter_of("LoHa with lengths")))
    with pytest.raises(lora.LoRAError, match="has no plain weight to merge into"):
        lora.merge(streamed)


@pytest.mark.parametrize("kinds", [("LoHa", "LoHa with lengths"), ("LoHa with lengths", "LoHa")])
def test_a_dora_and_another_adapter_add_up_in_either_order(kinds, tmp_path):
    mmdit, case = golden_model("LoHa"), "LoHa"
    for kind in kinds:
        lora.load(mmdit, file_of(tmp_path, adapter_of(kind)))
    apart = outputs(mmdit, case)
    lora.merge(mmdit)
    torch.testing.assert_close(outputs(mmdit, case), apart)


def test_a_second_dora_on_a_layer_is_refused(tmp_path):
    mmdit, path = model(), file_of(tmp_path, adapter_of("LoHa with lengths"))
    first = lora.load(mmdit, path).adapter
    with pytest.raises(lora.LoRAError, match="must have one DoRA, got a second; remove the first"):
        lora.load(mmdit, path)
    first.remove()
    lora.load(mmdit, path)


# -- peft

TARGETS = ["to_q", "img_mod.1", "net.2"]
CONFIGS = {
    "LoKr": LoKrConfig(r=2, alpha=3, target_modules=TARGETS, decompose_factor=4),
    "LoKr of two products": LoKrConfig(
        r=1, alpha=3, target_modules=TARGETS, decompose_both=True, decompose_factor=4
    ),
    "LoKr of whole factors": LoKrConfig(r=32, alpha=3, target_modules=TARGETS),
    "LoHa": LoHaConfig(r=2, alpha=3, target_modules=TARGETS, alpha_pattern={"to_q": 5}),
    "DoRA": LoraConfig(
        r=2, lora_alpha=3, target_modules=TARGETS, use_dora=True, use_rslora=True
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_folder_that_peft_wrote_gives_peft_s_velocity(kind, tmp_path):
    wrapped = get_peft_model(copy_weights(model(), reference_mmdit(SMALL)), CONFIGS[kind])
    generator = torch.Generator().manual_seed(0)
    for name, parameter in wrapped.named_parameters():
        if parameter.requires_grad:
            move = 0.2 * torch.randn(parameter.shape, generator=generator)
            parameter.data = parameter.data + move if "magnitude" in name else move
    wrapped.save_pretrained(tmp_path)
    mmdit = model()
    report = lora.load(mmdit, tmp_path)
    assert report.dialect == "PEFT folder" and not report.left_out
    img, txt = torch.randn(1, 12, 64, generator=generator), torch.randn(1, 5, 40)
    theirs = wrapped(
        hidden_states=img, encoder_hidden_states=txt, timestep=torch.tensor([0.5]),
        encoder_hidden_states_mask=torch.ones(1, 5, dtype=torch.bool), img_shapes=[[(1, 3, 4)]],
        return_dict=False,
    )[0]  # fmt: skip
    ours = mmdit(img, txt, torch.tensor([0.5]), [(1, 3, 4)])
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ours, model()(img, txt, torch.tensor([0.5]), [(1, 3, 4)]), atol=1e-2)


# -- what is refused: one line, and the model is unchanged


def changed(case, part, tensor):
    return adapter_of(case) | {f"diffusion_model.{QUERY}.{part}": tensor}


def without(case, part):
    adapter = adapter_of(case)
    del adapter[f"diffusion_model.{QUERY}.{part}"]
    return adapter


BAD = {
    "half a product": (
        without("LoKr", "lokr_w2_b"),
        "have lokr_w2 or lokr_w2_a and lokr_w2_b, got lokr_w2_a",
    ),
    "no first factor": (without("LoKr", "lokr_w1"), "have lokr_w1 or .*, got none of them"),
    "a factor twice": (
        changed("LoKr", "lokr_w2", torch.ones(8, 8)),
        "got lokr_w2, lokr_w2_a, lokr_w2_b",
    ),
    "half a LoHa": (without("LoHa", "hada_w2_a"), "have hada_w2_a and hada_w2_b, got hada_w2_b"),
    "another size": (
        changed("LoKr", "lokr_w1", torch.ones(4, 5)),
        r"factors for a layer of \[32, 32\], got \[4, 5\] and \[8, 8\]; is this file for another",
    ),
    "another size of LoHa": (
        changed("LoHa", "hada_w1_a", torch.ones(31, 2)),
        r"got \[31, 32\] and \[32, 32\]",
    ),
    "no matrix": (changed("LoHa", "hada_w1_a", torch.ones(32)), r"matrices as w1, got \[32\]"),
    "no product": (
        changed("LoHa", "hada_w1_a", torch.ones(32, 3)),
        r"can be multiplied as w1, got \[32, 3\] and \[2, 32\]",
    ),
    "two ranks": (
        changed("LoHa", "hada_w1_a", torch.ones(32, 3))
        | {f"diffusion_model.{QUERY}.hada_w1_b": torch.ones(3, 32)},
        r"must have one rank, got \[2, 3\]",
    ),
    "NaN": (
        changed("LoKr", "lokr_w1", torch.full((4, 4), torch.nan)),
        "finite real numbers in its lokr_w1",
    ),
    "a product beyond float32": (
        changed("LoKr", "lokr_w2_a", torch.full((8, 2), 1e38))
        | {f"diffusion_model.{QUERY}.lokr_w1": torch.full((4, 4), 1e38)},
        "a product within float32, got up to",
    ),
    "two alphas": (changed("LoKr", "alpha", torch.ones(2)), "one number as alpha, got 2"),
    "alpha zero": (
        changed("LoHa", "alpha", torch.tensor(0.0)),
        "alpha must be finite and non-zero",
    ),
    "two kinds": (
        changed("LoKr", "hada_w1_a", torch.ones(32, 2)),
        "the parts of one kind of change, got",
    ),
    "a kind and a pair": (
        changed("LoKr", "lora_up.weight", torch.ones(32, 2)),
        "the parts of one kind of change, got",
    ),
    "lengths of another layer": (
        changed("LoHa", "dora_scale", torch.ones(31, 1)),
        r"DoRA magnitude of \[32\], \[32, 1\] or \[1, 32\], got \[31, 1\]",
    ),
    "lengths that are no numbers": (
        changed("LoHa", "dora_scale", torch.full((32, 1), torch.inf)),
        "in its DoRA magnitude",
    ),
    "lengths alone": (
        {f"{QUERY}.dora_scale": torch.ones(32, 1)},
        "must have two matrices, got no down matrix",
    ),
    "a core of LoKr": (
        changed("LoKr", "lokr_t2", torch.ones(2, 2)),
        "another method, LoKr with a core",
    ),
    "a core of LoHa": (
        changed("LoHa", "hada_t1", torch.ones(2, 2)),
        "another method, LoHa with a core",
    ),
    "a method of LyCORIS that is not read": (
        {f"lycoris_{QUERY.replace('.', '_')}.oft_blocks": torch.ones(4, 8, 8)},
        "another method, OFT",
    ),
    "keys that nobody knows": (
        {f"{QUERY}.lokr_w3": torch.ones(2, 2)},
        "1 keys name no layer .*lokr_w3",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_with_this_fault_is_refused(what, tmp_path):
    tensors, words = BAD[what]
    mmdit, plain = model(), velocity(model())
    with pytest.raises(lora.LoRAError, match=words) as failure:
        lora.load(mmdit, file_of(tmp_path, tensors))
    assert "\n" not in str(failure.value)
    assert lora.adapters(mmdit) == [] and torch.equal(velocity(mmdit), plain)

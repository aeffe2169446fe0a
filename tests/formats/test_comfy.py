"""Files in ComfyUI's formats: resident, streamed and mixed the numbers they hold, or refused."""

import json

import pytest
import torch
import torch.nn.functional as F
from helpers.comfy_files import (
    BF16,
    ENCODERS,
    QUERY,
    empty,
    layers,
    mark,
    model,
    packed,
    unpacked,
    written,
)
from helpers.nets import velocity
from safetensors.torch import save_file

from qwenimage_ref.adapt import lora
from qwenimage_ref.checkpoint.packed_linear import PackedLinear
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats.comfy import ComfyLinear
from qwenimage_ref.formats.recognise import describe
from qwenimage_ref.load import load_weights

every_format = pytest.mark.parametrize("kind", ENCODERS)


def loaded(file, dtype=BF16, streamed=False):
    mmdit = empty()
    return mmdit, load_weights(mmdit, file, dtype, streamed=streamed)


@every_format
@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
def test_a_file_of_each_format_is_the_model_of_its_numbers(file, kind, streamed):
    kinds = dict.fromkeys(layers(), kind)
    written(file, kinds)
    mmdit, report = loaded(file, streamed=streamed)
    assert len(report.packed) == len(kinds) == 14
    assert torch.equal(velocity(mmdit, BF16), velocity(unpacked(kinds), BF16))
    assert f"14 {ENCODERS[kind][1]['format']}; 14 linear layers stay packed" in str(report)
    if not streamed:
        assert isinstance(mmdit.get_submodule(QUERY), ComfyLinear)


@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
def test_every_layer_may_be_in_a_format_of_its_own(file, streamed):
    kinds = dict(zip(layers(), ENCODERS))
    tensors = packed(kinds)
    eighth = layers()[8]
    weight = tensors[f"{eighth}.weight"].float()
    scale = weight.abs().amax() / 57344
    tensors[f"{eighth}.weight"] = (weight / scale).to(torch.float8_e5m2)
    tensors |= {f"{eighth}.weight_scale": scale, f"{eighth}.input_scale": torch.tensor(0.1)}
    tensors |= {f"{QUERY}.input_scale": torch.tensor(0.1)}
    tensors[f"{eighth}.comfy_quant"] = mark({"format": "float8_e5m2"})
    save_file(tensors, file)
    mmdit, report = loaded(file, streamed=streamed)
    wanted = unpacked(kinds)
    numbers = (tensors[f"{eighth}.weight"].float() * scale).to(BF16)
    wanted.get_submodule(eighth).weight.data = numbers
    assert len(report.packed) == 7
    assert torch.equal(velocity(mmdit, BF16), velocity(wanted, BF16))


def test_the_formats_may_stand_in_the_metadata_instead(file):
    kinds = dict.fromkeys(layers(), "int8 rotated")
    tensors = {n: t for n, t in packed(kinds).items() if not n.endswith("comfy_quant")}
    entries = {layer: ENCODERS["int8 rotated"][1] for layer in kinds}
    metadata = {"_quantization_metadata": json.dumps({"format_version": "1.0", "layers": entries})}
    save_file(tensors, file, metadata=metadata)
    mmdit, _ = loaded(file)
    assert torch.equal(velocity(mmdit, BF16), velocity(unpacked(kinds), BF16))


def test_a_prefix_before_every_key_is_left_away(file):
    kinds = {QUERY: "nvfp4"}
    written(file, kinds, prefix="model.diffusion_model.")
    mmdit, _ = loaded(file)
    assert torch.equal(velocity(mmdit, BF16), velocity(unpacked(kinds), BF16))


@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
def test_a_layer_outside_the_blocks_is_unpacked_when_it_is_loaded(file, streamed):
    kinds = {"img_in": "mxfp8", QUERY: "mxfp8"}
    written(file, kinds)
    mmdit, report = loaded(file, streamed=streamed)
    assert list(report.packed) == [QUERY] and type(mmdit.img_in) is torch.nn.Linear
    assert torch.equal(velocity(mmdit, BF16), velocity(unpacked(kinds), BF16))


def test_a_scale_before_packing_multiplies_the_inputs(file):
    smooth = torch.linspace(0.5, 2, 256)
    written(file, {QUERY: "nvfp4"}, pre_quant_scale=smooth)
    layer = loaded(file, torch.float32)[0].get_submodule(QUERY)
    written(file, {QUERY: "nvfp4"})
    plain = loaded(file, torch.float32)[0].get_submodule(QUERY)
    inputs = torch.randn(3, 256, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layer(inputs), plain(inputs * smooth), atol=1e-5, rtol=1e-5)


def test_inputs_get_the_gradients_of_the_unpacked_layer(file):
    written(file, {QUERY: "int8 rotated"})
    layer = loaded(file, torch.float32)[0].get_submodule(QUERY)
    inputs = torch.randn(3, 256, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (layer(inputs) ** 2).sum().backward()
    again = inputs.detach().clone().requires_grad_()
    weight = layer.unpacked(torch.float32)
    (F.linear(again, weight, layer.bias.float()) ** 2).sum().backward()
    torch.testing.assert_close(inputs.grad, again.grad)


def test_a_lora_acts_on_packed_layers_as_on_unpacked_ones(file):
    written(file, {QUERY: "w4a8"})
    mmdit, wanted = loaded(file, torch.float32)[0], unpacked({QUERY: "w4a8"}).float()
    wanted.get_submodule(QUERY).weight.data = mmdit.get_submodule(QUERY).unpacked(torch.float32)
    for network in (mmdit, wanted):
        (pair,) = lora.inject(network, QUERY, rank=2).pairs.values()
        pair.lora_B.data.fill_(0.1)
    torch.testing.assert_close(velocity(mmdit), velocity(wanted))


def test_info_says_which_formats_a_file_has(file):
    written(file, dict(zip(layers(), ("nvfp4", "nvfp4", "int8"))))
    text = str(describe(file))
    assert "a Qwen-Image model; ComfyUI mixed precision, 2 nvfp4, 1 int8_tensorwise" in text
    assert "used with: qwenimage paint --transformer FILE" in text


# -- refused


def nan_of(part, kind):
    tensor = ENCODERS[kind][0](model().get_submodule(QUERY).weight.float())[part].clone()
    if tensor.dtype.itemsize > 1:
        tensor.view(-1)[0] = torch.nan
    else:
        tensor.view(torch.uint8).view(-1)[0] = 255 if part == "weight_scale" else 127
    return {part: tensor}


def rotated_over(inputs):
    fields = {"format": "int8_tensorwise", "convrot": True, "convrot_groupsize": inputs}
    return {"comfy_quant": mark(fields)}


REFUSED = {
    "no scale": ("int8", {"weight_scale": None}, "to_q.weight_scale is missing; the file is not"),
    "no second scale": ("nvfp4", {"weight_scale_2": None}, "to_q.weight_scale_2 is missing"),
    "no channel scale": ("w4a8", {"weight_s_channel": None}, "weight_s_channel is missing"),
    "a scale of another shape": (
        "int8 by row", {"weight_scale": torch.ones(255, 1)},
        r"weight_scale must be F32 or BF16 or F16 \[\] or \[1\] or \[256, 1\] in int8_tensorwise, "
        r"got F32 \[255, 1\]",
    ),
    "one scale for rotated rows": (
        "int8 rotated", {"weight_scale": torch.ones(())}, r"must be F32 .* \[256, 1\] in int8",
    ),
    "a scale of another type": (
        "mxfp8", {"weight_scale": torch.ones(256, 8)}, r"must be F8_E8M0 or U8 \[256, 8\] in mxfp8",
    ),
    "a weight of another shape": (
        "nvfp4", {"weight": torch.ones(256, 256, dtype=torch.uint8)},
        r"to_q.weight must be U8 \[256, 128\] in nvfp4, got U8 \[256, 256\]; is config.json",
    ),
    "a weight of another type": (
        "int8", {"weight": torch.ones(256, 256, dtype=torch.uint8)}, "must be I8 .*, got U8",
    ),
    "a scale of NaN": ("int8", nan_of("weight_scale", "int8"), "scales of .*to_q must be finite"),
    "a group's scale of NaN": ("mxfp8", nan_of("weight_scale", "mxfp8"), "to_q must be finite"),
    "a relative scale of NaN": ("w4a8", nan_of("weight_s_rel", "w4a8"), "to_q must be finite"),
    "a negative scale": ("int8", {"weight_scale": torch.tensor(-1.0)}, "and not below zero"),
    "a huge scale": ("int8", {"weight_scale": torch.tensor(1e35)}, r"their product below 1e\+34"),
    "a number that is none": ("mxfp8", nan_of("weight", "mxfp8"), "to_q.weight holds NaN"),
    "a correction": (
        "w4a8", {"weight_correction": torch.ones(16, 256)}, "1 are not known .*weight_correction",
    ),
    "a format of other kernels": (
        "int8", {"comfy_quant": mark({"format": "convrot_w4a4"})}, "to_q is convrot_w4a4, which",
    ),
    "another such format": (
        "int8", {"comfy_quant": mark({"format": "awq_w4a16"})}, "to_q is awq_w4a16, which",
    ),
    "a rotation that does not fit": (
        "int8 rotated", rotated_over(96),
        "to_q: convrot_groupsize must divide its 256 inputs, got 96",
    ),
    "a rotation of no such matrix": (
        "int8 rotated", rotated_over(32),
        "to_q: a rotation must be over 4, 16, 64, 256, ... inputs, got 32",
    ),
    "a group that does not fit": (
        "w4a8", {"comfy_quant": mark({"format": "asym_w4a8_int8", "group_size": 0})},
        "to_q: group_size must divide its 256 inputs, got 0",
    ),
    "a group of half a row of kernels": (
        "w4a8", {"comfy_quant": mark({"format": "asym_w4a8_int8", "group_size": "16"})},
        "group_size must divide its 256 inputs, got 16",
    ),
}  # fmt: skip
# streamed, a weight is not read when the file is loaded
CASES = [(c, s) for c in REFUSED for s in (False, True) if not s or c != "a number that is none"]


@pytest.mark.parametrize("case, streamed", CASES)
def test_what_is_not_understood_is_refused_in_one_line_and_the_model_stays(file, case, streamed):
    kind, more, message = REFUSED[case]
    written(file, {QUERY: kind}, **more)
    mmdit = empty()
    with pytest.raises(CheckpointError, match=message) as refused:
        load_weights(mmdit, file, BF16, streamed=streamed)
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)
    assert all(p.is_meta for p in mmdit.parameters())
    assert not any(isinstance(module, PackedLinear) for module in mmdit.modules())


def test_a_layer_that_is_no_matrix_has_no_format(file):
    tensors = packed({}) | {"txt_norm.comfy_quant": mark({"format": "nvfp4"})}
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="txt_norm must be a matrix in nvfp4, got"):
        load_weights(empty(), file, BF16)

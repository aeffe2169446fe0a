"""Files of four dialects of fp8: read as the numbers that they hold, or refused in one line."""

import random
from dataclasses import replace

import pytest
import torch
from helpers.fp8_files import (
    BF16,
    CONFIG,
    DIALECTS,
    FP8,
    QUERY,
    empty,
    every_dialect,
    format_mark,
    header_bytes,
    mixed,
    mixed_in_tensors,
    model,
    plain,
    rows,
    scaled,
    unpacked_by_hand,
    written,
)
from helpers.nets import velocity
from safetensors.torch import save_file

from qwenimage_ref.checkpoint.packed_linear import PackedLinear
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats.fp8 import Fp8Linear, quantize_fp8
from qwenimage_ref.formats.recognise import official_names
from qwenimage_ref.load import load_weights


@every_dialect
def test_a_file_of_each_dialect_is_the_model_of_its_numbers_times_their_scales(file, write):
    tensors, mmdit = written(file, write), empty()
    report = load_weights(mmdit, file, BF16)
    assert (report.layout, len(report.packed)) == (DIALECTS[write], 28)
    assert all(isinstance(mmdit.get_submodule(name), Fp8Linear) for name in (QUERY,))
    assert {p.dtype for name, p in mmdit.named_parameters() if "scale" not in name} == {FP8, BF16}
    assert torch.equal(velocity(mmdit, BF16), velocity(unpacked_by_hand(tensors), BF16))


@every_dialect
def test_a_streamed_file_is_the_resident_one_bit_for_bit(file, write):
    written(file, write)
    resident, streamed = empty(), empty()
    reports = [
        load_weights(m, file, BF16, streamed=s) for m, s in ((resident, False), (streamed, True))
    ]
    assert reports[0] == reports[1]
    assert torch.equal(velocity(streamed, BF16), velocity(resident, BF16))
    assert not any("transformer_blocks" in name for name, _ in streamed.named_parameters())


@pytest.mark.parametrize("write", [plain, scaled, mixed_in_tensors], ids=lambda w: w.__name__)
@pytest.mark.parametrize("streamed", [False, True], ids=["resident", "streamed"])
def test_float8_of_five_bits_of_exponent_is_read_in_every_dialect(file, write, streamed):
    tensors, metadata = write(model())
    e5m2 = torch.float8_e5m2
    tensors = {name: t.float().to(e5m2) if t.dtype == FP8 else t for name, t in tensors.items()}
    tensors |= {n: format_mark("float8_e5m2") for n in tensors if n.endswith(".comfy_quant")}
    save_file(tensors, file, metadata=metadata)
    mmdit = empty()
    assert load_weights(mmdit, file, BF16, streamed=streamed).layout == DIALECTS[write]
    assert torch.equal(velocity(mmdit, BF16), velocity(unpacked_by_hand(tensors), BF16))


def test_the_largest_scale_of_e5m2_is_smaller_by_as_much_as_its_numbers_are_larger(file):
    tensors, metadata = scaled(model())
    tensors[WEIGHT] = tensors[WEIGHT].float().to(torch.float8_e5m2)
    at(f"{QUERY}.scale_weight", 6e33)(tensors)
    save_file(tensors, file, metadata=metadata)
    with pytest.raises(CheckpointError, match="to_q must be above zero and at most 5e33"):
        load_weights(empty(), file, BF16)


@pytest.mark.parametrize("prefix", ["model.diffusion_model.", "diffusion_model.", "transformer."])
@pytest.mark.parametrize("write", [scaled, mixed], ids=["scaled", "mixed"])
@pytest.mark.parametrize("stream", [False, True], ids=["resident", "streamed"])
def test_a_prefix_before_every_key_is_left_away(file, write, prefix, stream):
    tensors, mmdit = written(file, write, prefix=prefix), empty()
    load_weights(mmdit, file, BF16, streamed=stream)
    assert torch.equal(velocity(mmdit, BF16), velocity(unpacked_by_hand(tensors), BF16))


def test_a_key_with_and_without_a_prefix_is_refused():
    with pytest.raises(CheckpointError, match="^a is there with transformer. before it and with"):
        official_names(["a", "transformer.a"], "transformer")


def test_layers_in_high_precision_among_the_blocks_stay_so(file):
    tensors, metadata = rows(model())
    tensors[f"{QUERY}.weight"] = model().get_submodule(QUERY).weight.detach()
    del tensors[f"{QUERY}.scale_weight"]
    save_file(tensors, file)
    for stream in (False, True):
        mmdit = empty()
        report = load_weights(mmdit, file, BF16, streamed=stream)
        assert len(report.packed) == 27
        assert torch.equal(velocity(mmdit, BF16), velocity(unpacked_by_hand(tensors), BF16))


def test_an_fp8_layer_outside_the_blocks_is_unpacked_with_its_scale(file):
    tensors, _ = rows(model())
    weight, scale = quantize_fp8(tensors["img_in.weight"], "row")
    tensors |= {"img_in.weight": weight, "img_in.scale_weight": scale}
    save_file(tensors, file)
    mmdit = empty()
    assert "img_in" not in load_weights(mmdit, file, torch.float32).packed
    assert torch.equal(mmdit.img_in.weight, weight.float() * scale)


def test_the_mark_of_edit_2511_decides_whatever_the_config_says(file):
    tensors, metadata = plain(model())
    save_file(tensors | {"__index_timestep_zero__": torch.zeros(0)}, file)
    for config in (CONFIG, replace(CONFIG, zero_cond_t=True)):
        mmdit = empty(config)
        load_weights(mmdit, file, BF16)
        assert mmdit.config.zero_cond_t


def test_the_report_is_one_line(file):
    written(file, rows)
    assert str(load_weights(empty(), file, BF16)) == (
        f"{file}: fp8, musubi, 28 linear layers stay packed"
    )


def without(*names):
    return lambda tensors: [tensors.pop(name) for name in names]


def with_(**named):
    """Tensors by name, in which two underscores stand for a dot."""
    return lambda tensors: tensors.update({n.replace("__", "."): t for n, t in named.items()})


def at(name, value):
    """One number of a tensor is another."""

    def change(tensors):
        numbers = tensors[name].float().clone()
        numbers.view(-1)[0] = value
        tensors[name] = numbers.to(tensors[name].dtype)

    return change


def as_(name, change):
    return lambda tensors: tensors.update({name: change(tensors[name])})


WEIGHT, SCALE = f"{QUERY}.weight", f"{QUERY}.scale_weight"
REFUSED = {
    "a weight is missing": (rows, without(WEIGHT, SCALE), "1 tensors are missing .*to_q.weight"),
    "a scale is missing": (rows, without(SCALE), "1 fp8 weights have no scale .*to_q"),
    "an unknown key": (plain, with_(more=torch.ones(2)), "1 are not known .more"),
    "a scale of another dialect": (rows, with_(img_in__weight_scale=torch.ones(())), "not known"),
    "a scale for a bf16 weight": (
        rows, with_(img_in__scale_weight=torch.ones(())), "img_in.scale_weight belongs to no fp8",
    ),
    "a weight of another shape": (
        plain, as_(WEIGHT, lambda t: t[:, 1:].contiguous()), r"to_q.weight is \[64, 63\] instead",
    ),
    "a scale of another shape": (
        rows, as_(SCALE, lambda t: t[1:].clone()), r"to_q.scale_weight is BF16 \[63, 1\]; a scale",
    ),
    "a scale of whole numbers": (
        rows, as_(SCALE, lambda t: t.int()), r"to_q.scale_weight holds I32|is I32 \[64, 1\]",
    ),
    "NaN in an fp8 weight": (rows, at(WEIGHT, torch.nan), "to_q.weight holds NaN or infinity"),
    "NaN in a bf16 bias": (rows, at("img_in.bias", torch.nan), "img_in.bias holds NaN"),
    "a NaN scale": (rows, at(SCALE, torch.nan), "the scale of .*to_q must be above zero"),
    "a zero scale": (rows, at(SCALE, 0.0), "the scale of .*to_q must be above zero"),
    "a negative scale": (rows, at(SCALE, -1.0), "the scale of .*to_q must be above zero"),
    "fp8 biases among scales": (
        rows, as_("img_in.bias", lambda t: t.to(FP8)), "img_in.bias is fp8 and has no scale",
    ),
    "a scale that unpacks to infinity": (rows, at(SCALE, 1e37), "to_q must be .* at most 7e35"),
    "a mark of bf16": (scaled, with_(scaled_fp8=torch.zeros(0, dtype=BF16)), "scaled_fp8 is BF16"),
    "int8": (plain, as_(WEIGHT, lambda t: t.to(torch.int8)), "to_q.weight is int8, which is not"),
    "nvfp4": (plain, with_(img_in__weight_scale_2=torch.ones(())), "weight_scale_2 is nvfp4"),
    "nvfp4, by the file": (
        mixed_in_tensors, with_(**{f"{QUERY}.comfy_quant": format_mark("nvfp4")}),
        r"to_q.weight must be U8 \[64, 32\] in nvfp4, got F8_E4M3",
    ),
    "mxfp8": (
        plain, with_(img_in__weight_scale=torch.ones(64, 2).to(torch.float8_e8m0fnu)),
        "img_in.weight_scale is mxfp8, which is not read here",
    ),
    "smoothed weights": (
        plain, with_(img_in__pre_quant_scale=torch.ones(64)), "pre_quant_scale is smoothed",
    ),
    "a format that is no JSON": (
        mixed_in_tensors, with_(**{f"{QUERY}.comfy_quant": torch.ones(3, dtype=torch.uint8)}),
        "to_q.comfy_quant cannot be read",
    ),
    "a layer without a format": (
        mixed_in_tensors, without(f"{QUERY}.comfy_quant"), "what it says of .*to_q is not what it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_understood_is_refused_in_one_line_and_the_model_stays(file, case):
    write, damage, message = REFUSED[case]
    tensors, metadata = write(model())
    damage(tensors)
    save_file(tensors, file, metadata=metadata)
    mmdit = empty()
    with pytest.raises(CheckpointError, match=message) as refused:
        load_weights(mmdit, file, BF16)
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)
    assert all(p.is_meta for p in mmdit.parameters())
    assert not any(isinstance(module, PackedLinear) for module in mmdit.modules())


def test_numbers_too_large_for_float16_are_refused_by_name(file):
    tensors, metadata = rows(model())
    at("img_in.bias", 1e6)(tensors)
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="img_in.bias is too large for torch.float16"):
        load_weights(empty(), file, torch.float16)


def test_a_mark_that_lies_in_the_metadata_is_refused(file):
    tensors, _ = mixed(model())
    for text in ("{", "[]", '{"layers": ["a"]}', '{"layers": {"a": {}}}', '{"layers": {"a": 1}}'):
        save_file(tensors, file, metadata={"_quantization_metadata": text})
        with pytest.raises(CheckpointError, match="cannot be read|not say in which format a is"):
            load_weights(empty(), file, BF16)


def test_damaged_files_are_refused_in_one_line_or_hold_numbers(file):
    written(file, mixed_in_tensors)
    whole, drawn, refused = file.read_bytes(), random.Random(0), 0
    for _ in range(40):
        content = bytearray(whole)
        for _ in range(drawn.randint(1, 4)):
            content[drawn.randrange(header_bytes(file))] = drawn.randrange(256)
        file.write_bytes(content[: len(content) - drawn.choice((0, 0, 1, 5000))])
        mmdit = empty()
        try:
            load_weights(mmdit, file, BF16)
            assert velocity(mmdit, BF16).isfinite().all()
        except CheckpointError as error:
            assert "\n" not in str(error)
            refused += 1
        file.write_bytes(whole)
    assert refused > 30

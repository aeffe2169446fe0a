"""fp8: what a cast costs, four dialects of files, packed layers in memory and on disk, LoRA."""

import functools
import json
import random
from dataclasses import replace

import pytest
import torch
from helpers.nets import SMALL, filled, velocity
from safetensors.torch import load_file, save_file

from qwenimage_ref.adapt import lora
from qwenimage_ref.adapt.streaming import named_linears
from qwenimage_ref.checkpoint.packed_linear import PackedLinear
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats import fp8
from qwenimage_ref.formats.fp8 import Fp8Linear, quantize_fp8, save_fp8, unpack_fp8
from qwenimage_ref.formats.recognise import official_names
from qwenimage_ref.load import load_weights
from qwenimage_ref.mmdit import MMDiT
from qwenimage_ref.parity.reference import random_weights

FP8, BF16 = torch.float8_e4m3fn, torch.bfloat16
CONFIG = replace(SMALL, num_attention_heads=4)  # 64 wide: one block of inputs that share a scale
QUERY = "transformer_blocks.0.attn.to_q"
GRANULARITIES = pytest.mark.parametrize("granularity", ["plain", "tensor", "row", "block"])


def empty(config=CONFIG) -> MMDiT:
    with torch.device("meta"):
        return MMDiT(config)


@functools.cache
def model() -> MMDiT:
    """Of all tests; none changes it."""
    return random_weights(empty(), 0).to(BF16)


def gaussian(std: float, *shape) -> torch.Tensor:
    return std * torch.randn(shape, generator=torch.Generator().manual_seed(0))


# -- the numbers


@pytest.mark.parametrize(
    "std, granularity, error, zeros",
    [
        (0.02, "plain", 0.0330, 0.039),
        (0.005, "plain", 0.113, 0.155),
        (0.02, "tensor", 0.0265, 0),
        (0.02, "row", 0.0265, 0),
        (0.02, "block", 0.0251, 0),
    ],
)
def test_a_gaussian_weight_loses_what_the_table_says(std, granularity, error, zeros):
    w = gaussian(std, 512, 2048)
    packed, scale = quantize_fp8(w, granularity)
    unpacked = unpack_fp8(packed, scale, torch.float32)
    assert abs((unpacked - w).norm() / w.norm() - error) < 0.0007
    assert abs((unpacked == 0).float().mean() - zeros) < 0.001


def test_a_scale_makes_small_weights_no_worse_than_large_ones():
    large, small = (
        unpack_fp8(*quantize_fp8(gaussian(std, 256, 256), "tensor"), torch.float32)
        for std in (1.0, 2.0**-10)
    )
    assert torch.equal(large, small * 2**10)


@GRANULARITIES
def test_powers_of_two_come_back_exactly(granularity):
    exponents = torch.randint(-6, 9, (8, 128), generator=torch.Generator().manual_seed(0))
    w = 2.0**exponents
    w[:, ::64] = 448  # the largest of each block, so that the scale is one
    packed, scale = quantize_fp8(w, granularity)
    assert torch.equal(unpack_fp8(packed, scale, torch.float32), w)


def test_what_is_too_large_for_fp8_becomes_448_and_not_nan():
    packed, _ = quantize_fp8(torch.tensor([[449.0, 1e9, -1e30, 464.0, 500.0]]), "plain")
    assert packed.float().tolist() == [[448, 448, -448, 448, 448]]


@pytest.mark.parametrize(
    "granularity, shape", [("tensor", ()), ("row", (6, 1)), ("block", (6, 2, 1))]
)
def test_the_largest_weight_of_each_scale_becomes_448(granularity, shape):
    packed, scale = quantize_fp8(gaussian(0.02, 6, 128), granularity)
    assert scale.shape == shape and scale.dtype == torch.float32
    groups = packed.float().abs().view(scale.numel(), -1)
    assert (groups.amax(1) == 448).all()


@GRANULARITIES
def test_a_row_of_zeros_stays_zero(granularity):
    w = gaussian(0.02, 4, 128)
    w[1] = 0
    packed, scale = quantize_fp8(w, granularity)
    assert (unpack_fp8(packed, scale, torch.float32)[1] == 0).all()


def test_what_cannot_be_quantised_is_told():
    w = torch.ones(4, 96)
    with pytest.raises(ValueError, match="96 inputs are no multiple of 64; quantise by row"):
        quantize_fp8(w, "block")
    with pytest.raises(ValueError, match="granularity 'column' is not known; take one of"):
        quantize_fp8(w, "column")
    w[0, 0] = torch.inf
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        quantize_fp8(w, "plain")


def test_scales_in_bf16_give_the_numbers_of_musubis_own_product():
    packed, scale = quantize_fp8(gaussian(0.02, 64, 256), "block")
    scale = scale.to(BF16)
    theirs = (packed.to(BF16).view(64, 4, 64) * scale).view(64, 256)
    assert torch.equal(unpack_fp8(packed, scale, BF16), theirs)


# -- files of each dialect, made by hand


def tensors_of(mmdit, granularity, ending, dtype=torch.float32, shape=None):
    """The tensors of a file, and the layers in fp8; a scale is called as the ending says."""
    tensors, layers = {}, []
    for name, p in mmdit.named_parameters():
        layer = name.removesuffix(".weight")
        if layer in named_linears(mmdit) and name.startswith("transformer_blocks."):
            tensors[name], scale = quantize_fp8(p, granularity)
            layers.append(layer)
            if scale is not None:
                scale = scale if shape is None else scale.view(shape)
                tensors[f"{layer}{ending}"] = scale.to(dtype)
        else:
            tensors[name] = p.detach()
    return tensors, layers


def plain(mmdit):
    """ComfyUI's e4m3fn files: all of it, biases and norms too, and no scale."""
    return {name: p.detach().to(FP8) for name, p in mmdit.named_parameters()}, {}


def scaled(mmdit):
    tensors, layers = tensors_of(mmdit, "tensor", ".scale_weight")
    tensors |= {f"{layer}.scale_input": torch.tensor(0.02) for layer in layers}
    return tensors | {"scaled_fp8": torch.zeros(0, dtype=FP8)}, {}


def scaled_never_multiplied(mmdit):
    tensors, _ = tensors_of(mmdit, "tensor", ".scale_weight")
    return tensors | {"scaled_fp8": torch.zeros(2)}, {}


def mixed(mmdit):
    tensors, layers = tensors_of(mmdit, "tensor", ".weight_scale")
    told = {"format_version": "1.0", "layers": {n: {"format": "float8_e4m3fn"} for n in layers}}
    return tensors, {"_quantization_metadata": json.dumps(told)}


def mixed_in_tensors(mmdit):
    tensors, layers = tensors_of(mmdit, "tensor", ".weight_scale")
    tensors |= {f"{layer}.input_scale": torch.tensor(0.02) for layer in layers}
    return tensors | {f"{layer}.comfy_quant": said("float8_e4m3fn") for layer in layers}, {}


def said(kind):
    return torch.tensor(list(json.dumps({"format": kind}).encode()), dtype=torch.uint8)


def one_number(mmdit):
    return tensors_of(mmdit, "tensor", ".scale_weight", BF16, (1,))[0], {}


def rows(mmdit):
    return tensors_of(mmdit, "row", ".scale_weight", BF16)[0], {}


def blocks(mmdit):
    return tensors_of(mmdit, "block", ".scale_weight", BF16)[0], {}


DIALECTS = {
    plain: "ComfyUI plain",
    scaled: "ComfyUI scaled",
    scaled_never_multiplied: "ComfyUI scaled",
    mixed: "ComfyUI mixed precision",
    mixed_in_tensors: "ComfyUI mixed precision",
    one_number: "musubi",
    rows: "musubi",
    blocks: "musubi",
}
every_dialect = pytest.mark.parametrize("write", DIALECTS, ids=lambda write: write.__name__)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "qwen.safetensors"


def written(file, write, mmdit=None, prefix=""):
    tensors, metadata = write(mmdit or model())
    save_file({f"{prefix}{name}": t for name, t in tensors.items()}, file, metadata=metadata)
    return tensors


def unpacked_by_hand(tensors) -> MMDiT:
    """An ordinary model that holds the file's numbers times their scales."""
    state = {}
    for name in dict(empty().named_parameters()):
        layer, numbers = name.removesuffix(".weight"), tensors[name].float()
        for ending in (".scale_weight", ".weight_scale"):
            if f"{layer}{ending}" in tensors:
                scale = tensors[f"{layer}{ending}"].float()
                width = 64 if scale.ndim == 3 else numbers.shape[1]
                numbers = (numbers.view(len(numbers), -1, width) * scale.reshape(
                    (len(scale), -1, 1) if scale.ndim > 1 else ()
                )).view(len(numbers), -1)  # fmt: skip
        state[name] = numbers.to(BF16)
    mmdit = empty()
    mmdit.load_state_dict(state, assign=True)
    return mmdit


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


def header_bytes(file) -> int:
    return 8 + int.from_bytes(file.read_bytes()[:8], "little")


# -- what is refused


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
    "e5m2": (
        plain, as_(WEIGHT, lambda t: t.to(torch.float8_e5m2)), "to_q.weight is float8_e5m2, which",
    ),
    "e5m2, said by the mark": (
        scaled, with_(scaled_fp8=torch.zeros(0, dtype=torch.float8_e5m2)), "is float8_e5m2, which",
    ),
    "a mark of bf16": (scaled, with_(scaled_fp8=torch.zeros(0, dtype=BF16)), "scaled_fp8 is BF16"),
    "int8": (plain, as_(WEIGHT, lambda t: t.to(torch.int8)), "to_q.weight is int8, which is not"),
    "nvfp4": (plain, with_(img_in__weight_scale_2=torch.ones(())), "weight_scale_2 is nvfp4"),
    "nvfp4, said by the file": (
        mixed_in_tensors, with_(**{f"{QUERY}.comfy_quant": said("nvfp4")}), "to_q is nvfp4, which",
    ),
    "mxfp8": (
        plain, with_(img_in__weight_scale=torch.ones(64, 2).to(torch.float8_e8m0fnu)),
        "img_in.weight_scale is mxfp8, which is not read here",
    ),
    "smoothed weights": (
        plain, with_(img_in__pre_quant_scale=torch.ones(64)), "pre_quant_scale is smoothed",
    ),
    "what is said is no JSON": (
        mixed_in_tensors, with_(**{f"{QUERY}.comfy_quant": torch.ones(3, dtype=torch.uint8)}),
        "to_q.comfy_quant cannot be read",
    ),
    "a layer of which nothing is said": (
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


def test_numbers_too_large_for_float16_are_told(file):
    tensors, metadata = rows(model())
    at("img_in.bias", 1e6)(tensors)
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="img_in.bias is too large for torch.float16"):
        load_weights(empty(), file, torch.float16)


def test_a_mark_that_lies_in_the_metadata_is_told(file):
    tensors, _ = mixed(model())
    for told in ("{", "[]", '{"layers": ["a"]}', '{"layers": {"a": {}}}', '{"layers": {"a": 1}}'):
        save_file(tensors, file, metadata={"_quantization_metadata": told})
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


# -- files that are written


@GRANULARITIES
def test_a_written_file_comes_back_as_it_was_quantised(file, granularity):
    save_fp8(model(), file, granularity)
    mmdit, theirs = empty(), dict(model().named_parameters())
    load_weights(mmdit, file, BF16)
    for name, linear in named_linears(mmdit).items():
        weight = theirs.pop(f"{name}.weight")
        if isinstance(linear, Fp8Linear):
            expected = unpack_fp8(*quantize_fp8(weight, granularity), BF16)
            assert torch.equal(linear.unpacked(BF16), expected)
        else:
            assert torch.equal(linear.weight, weight)
    state = mmdit.state_dict()
    assert all(torch.equal(state[name], p) for name, p in theirs.items())  # biases and norms


@pytest.mark.parametrize(
    "granularity, dialect, endings",
    [
        ("plain", "ComfyUI plain", {}),
        ("tensor", "ComfyUI mixed precision", {"weight_scale": 28}),
        ("row", "musubi", {"scale_weight": 28}),
        ("block", "musubi", {"scale_weight": 28}),
    ],
)
def test_each_granularity_is_written_in_a_dialect_that_knows_it(
    file, granularity, dialect, endings
):
    save_fp8(model(), file, granularity)
    tensors = load_file(file)
    assert load_weights(empty(), file, BF16).layout == dialect
    assert sum(t.dtype == FP8 for t in tensors.values()) == 28
    assert not any(tensors[n].dtype == FP8 for n in tensors if "blocks" not in n or "norm" in n)
    found = [name.rpartition(".")[2] for name in tensors if "scale" in name]
    assert {ending: found.count(ending) for ending in found} == endings


def test_a_file_takes_half_of_bf16_and_a_scale_for_each_row_is_almost_nothing(file):
    sizes = {}
    for granularity in ("plain", "row", "block"):
        save_fp8(model(), file, granularity)
        sizes[granularity] = file.stat().st_size - header_bytes(file)
    numbers = sum(
        linear.weight.numel() for name, linear in named_linears(model()).items() if "blocks" in name
    )
    rows_ = sum(
        linear.out_features for name, linear in named_linears(model()).items() if "blocks" in name
    )
    whole = 2 * sum(p.numel() for p in model().parameters())
    assert sizes["plain"] == whole - numbers
    assert sizes["row"] - sizes["plain"] == 4 * rows_
    assert sizes["block"] - sizes["plain"] == 4 * numbers // 64


def test_what_is_no_plain_model_in_memory_is_not_written(file):
    save_fp8(model(), file)
    before = file.read_bytes()
    packed, streamed = empty(), empty()
    load_weights(packed, file, BF16)
    load_weights(streamed, file, BF16, streamed=True)
    for mmdit in (empty(), packed, streamed):
        with pytest.raises(CheckpointError, match="is no plain weight in memory"):
            save_fp8(mmdit, file)
    with pytest.raises(CheckpointError, match="must end in .safetensors"):
        save_fp8(model(), file.with_suffix(".pt"))
    assert [p.name for p in file.parent.iterdir()] == [file.name] and file.read_bytes() == before


def test_a_file_that_cannot_be_written_leaves_the_old_one(file, monkeypatch):
    save_fp8(model(), file)
    before = file.read_bytes()

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(fp8, "save_file", full)
    with pytest.raises(CheckpointError, match="cannot write .*No space left on device; make room"):
        save_fp8(model(), file)
    with pytest.raises(CheckpointError, match="32 inputs are no multiple of 64; quantise by row"):
        save_fp8(random_weights(empty(SMALL), 0), file, "block")
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


# -- LoRA on a packed model


def pair_of_models(file, write, stream=False):
    """A packed model in float32, and an ordinary one that holds the same numbers."""
    tensors, packed = written(file, write), empty()
    load_weights(packed, file, torch.float32, streamed=stream)
    twin = unpacked_by_hand(tensors).float()
    for name, linear in named_linears(packed).items():
        if not stream and isinstance(linear, Fp8Linear):
            twin.get_submodule(name).weight.data = linear.unpacked(torch.float32)
    return packed, twin


def gradients(mmdit, adapter):
    with torch.enable_grad():
        velocity.__wrapped__(mmdit).pow(2).mean().backward()
    return {name: p.grad for name, p in adapter.named_parameters() if p.grad is not None}


def test_a_lora_file_acts_on_a_packed_model_as_on_an_ordinary_one(file, tmp_path):
    packed, twin = pair_of_models(file, rows)
    trained = random_weights(empty(), 0)
    filled(lora.inject(trained, lora.TARGETS["musubi"], rank=2))
    lora.save(trained, tmp_path / "lora.safetensors")
    without_ = velocity(packed)
    for mmdit in (packed, twin):
        assert lora.load(mmdit, tmp_path / "lora.safetensors").matched == 28
    torch.testing.assert_close(velocity(packed), velocity(twin))
    assert not torch.equal(velocity(packed), without_)


@pytest.mark.parametrize("stream", [False, True], ids=["resident", "streamed"])
def test_gradients_reach_an_adapter_through_packed_layers(file, stream):
    packed, twin = pair_of_models(file, plain, stream)  # one without rounding of the products
    found = []
    for mmdit in (packed, twin):
        adapter = filled(lora.inject(mmdit, lora.TARGETS["musubi"], rank=2))
        found.append(gradients(mmdit.train(), adapter))
    assert found[0].keys() == found[1].keys() and len(found[0]) > 40
    for name in found[0]:
        torch.testing.assert_close(*(one[name] for one in found), msg=name)


def test_nothing_unpacked_is_kept_for_the_way_back(file):
    numbers = 64 * 256  # of the large layers of an MLP
    kept = []

    def keep(tensor):
        if tensor.ndim == 2 and tensor.numel() == numbers:
            kept.append(tensor.dtype)
        return tensor

    for mmdit, types in zip(pair_of_models(file, rows), ({FP8}, {torch.float32})):
        lora.inject(mmdit, lora.TARGETS["musubi"], rank=2)
        kept.clear()
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            velocity.__wrapped__(mmdit)
        assert set(kept) == types


def test_biases_of_packed_layers_can_be_trained(file):
    packed, twin = pair_of_models(file, plain)
    for mmdit in (packed, twin):
        mmdit.requires_grad_(False)
        mmdit.img_in.bias.requires_grad_(True)
        mmdit.get_submodule(QUERY).bias.requires_grad_(True)
        with torch.enable_grad():
            velocity.__wrapped__(mmdit).pow(2).mean().backward()
    ours, theirs = (m.get_submodule(QUERY).bias.grad for m in (packed, twin))
    torch.testing.assert_close(ours, theirs)
    assert theirs.any()


def test_an_adapter_is_not_merged_into_fp8(file):
    written(file, rows)
    mmdit = empty()
    load_weights(mmdit, file, BF16)
    lora.inject(mmdit, lora.TARGETS["diffusers"], rank=2)
    with pytest.raises(lora.LoRAError, match="no plain weight .* the adapter works unmerged"):
        lora.merge(mmdit)


# -- products in fp8, where the device has them


@pytest.fixture
def device_with_fp8(monkeypatch):
    """The processor stands in for such a device -> what it was asked to multiply."""
    asked = []

    def product(a, b, *, scale_a, scale_b, bias, out_dtype):
        assert a.dtype == b.dtype == FP8 and a.is_contiguous() and b.t().is_contiguous()
        assert scale_a.dtype == scale_b.dtype == torch.float32
        one, by_row = ((), ()), ((len(a), 1), (1, b.shape[1]))
        assert (tuple(scale_a.shape), tuple(scale_b.shape)) in (one, by_row)
        assert scale_a.is_contiguous() and scale_b.is_contiguous()
        assert out_dtype == BF16 and (bias is None or bias.dtype == BF16)
        asked.append(scale_a)
        y = (a.float() @ b.float()) * scale_a * scale_b
        return (y if bias is None else y + bias.float()).to(out_dtype)

    monkeypatch.setattr(torch, "_scaled_mm", product)
    monkeypatch.setattr(fp8, "has_fp8_matmul", lambda device: True)
    return asked


@pytest.mark.parametrize("write", [plain, scaled, mixed, rows], ids=lambda write: write.__name__)
def test_a_product_in_fp8_is_near_the_exact_one(file, device_with_fp8, write):
    written(file, write)
    exact, fast = empty(), empty()
    load_weights(exact, file, BF16)
    load_weights(fast, file, BF16, fast=True)
    ours, theirs = velocity(fast, BF16).float(), velocity(exact, BF16).float()
    assert len(device_with_fp8) == 28
    assert 0 < (ours - theirs).norm() / theirs.norm() < 0.1


def test_the_scale_of_inputs_is_that_of_the_file(file, device_with_fp8):
    written(file, mixed_in_tensors)
    mmdit = empty()
    load_weights(mmdit, file, BF16, fast=True)
    velocity(mmdit, BF16)
    assert {round(scale.item(), 6) for scale in device_with_fp8} == {0.02}


@pytest.mark.parametrize("write", [scaled_never_multiplied, blocks], ids=lambda w: w.__name__)
def test_files_that_forbid_it_and_scales_of_blocks_are_multiplied_exactly(
    file, device_with_fp8, write
):
    written(file, write)
    mmdit = empty()
    load_weights(mmdit, file, BF16, fast=True)
    velocity(mmdit, BF16)
    assert device_with_fp8 == []


def test_training_and_float32_are_multiplied_exactly(file, device_with_fp8):
    written(file, rows)
    mmdit = empty()
    load_weights(mmdit, file, torch.float32, fast=True)
    velocity(mmdit)
    load_weights(mmdit := empty(), file, BF16, fast=True)
    lora.inject(mmdit, lora.TARGETS["diffusers"], rank=1)
    layer = mmdit.get_submodule(QUERY)
    layer(torch.ones(2, 64, dtype=BF16, requires_grad=True))
    assert device_with_fp8 == []
    layer(torch.ones(2, 64, dtype=BF16))
    assert len(device_with_fp8) == 1


@pytest.mark.parametrize("granularity", ["plain", "tensor", "row"])
def test_torchs_own_product_takes_what_it_is_given(file, granularity):
    save_fp8(model(), file, granularity)
    load_weights(mmdit := empty(), file, BF16)
    layer, x = mmdit.get_submodule(QUERY), gaussian(1, 3, 5, 64).to(BF16)
    try:
        ours = layer.multiply_packed(x)
    except (NotImplementedError, RuntimeError) as error:
        pytest.skip(f"this build of torch has no such product on the processor: {error}")
    exact = layer(x).float()
    assert ours.shape == exact.shape and (ours - exact).norm() / exact.norm() < 0.06


@pytest.mark.parametrize("capability, has", [((8, 6), False), ((8, 9), True), ((9, 0), True)])
def test_a_device_multiplies_in_fp8_from_capability_8_9_on(monkeypatch, capability, has):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert fp8.has_fp8_matmul(torch.device("cuda")) == has
    assert not fp8.has_fp8_matmul(torch.device("cpu"))


def test_a_model_computes_exactly_unless_asked_otherwise(file, device_with_fp8):
    written(file, rows)
    load_weights(mmdit := empty(), file, BF16)
    velocity(mmdit, BF16)
    assert device_with_fp8 == []

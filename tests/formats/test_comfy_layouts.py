"""ComfyUI's packed weights: every number as comfy-kitchen unpacks it, and as they were packed."""

import json
import time
from pathlib import Path

import pytest
import torch
from helpers.comfy_files import ENCODERS
from safetensors import safe_open

from qwenimage_ref.formats.comfy_layouts import form_of, from_tiles, hadamard, rotate
from qwenimage_ref.formats.comfy_packing import in_tiles, pack, rounded
from qwenimage_ref.formats.fp8_table import CHUNK, widen
from qwenimage_ref.parity.tolerances import within

# weights packed by comfy-kitchen 0.2.40, and unpacked there in float32
GOLDEN = Path(__file__).parents[1] / "golden" / "comfy_kitchen.safetensors"
with safe_open(GOLDEN, "pt") as opened:
    FIELDS = {name: text for name, text in opened.metadata().items() if name != "comfy-kitchen"}
    TENSORS = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
ERRORS = {  # of normal numbers with outliers, against their root mean square: at most
    "int8": 0.10, "int8 by row": 0.04, "int8 rotated": 0.011, "mxfp8": 0.03, "nvfp4": 0.11,
    "w4a8": 0.13,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_unpacked_weights_are_comfy_kitchen_s(name):
    wanted = TENSORS[f"{name}: weight"].float()
    parts = {key.split("/")[1]: t for key, t in TENSORS.items() if key.startswith(f"{name}/")}
    form = form_of(json.loads(FIELDS[name]), wanted.shape)
    distance = (form.unpack(parts) - wanted).abs().max() / wanted.abs().max()
    assert distance <= (within("rotation") if form.rotated else 0)


def gaussian(rows=64, columns=256):
    """Normal numbers, one in a thousand twenty times as large"""
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(rows, columns, generator=generator)
    return (
        0.02
        * torch.where(torch.rand(rows, columns, generator=generator) < 1e-3, 20.0, 1.0)
        * numbers
    )


@pytest.mark.parametrize("name", ENCODERS)
def test_what_was_packed_comes_back_as_near_as_the_format_allows(name):
    encode, fields = ENCODERS[name]
    weight = gaussian()
    back = form_of(fields, weight.shape).unpack(encode(weight))
    error = ((back - weight).norm() / weight.norm()).item()
    assert ERRORS[name] / 3 < error < ERRORS[name]


@pytest.mark.parametrize("name", ENCODERS)
def test_zeros_stay_zeros(name):
    encode, fields = ENCODERS[name]
    parts = encode(gaussian())
    zeros = {part: torch.zeros_like(tensor) for part, tensor in parts.items()}
    if name == "w4a8":
        zeros["weight"] = torch.full_like(parts["weight"], -0x78)  # 0x88: twice the middle, 8
    assert not form_of(fields, (64, 256)).unpack(zeros).any()


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_weight_of_zeros_and_a_row_of_zeros_are_packed_as_zeros(kind):
    assert not rounded(torch.zeros(64, 256), kind).any()
    weight = gaussian()
    weight[5] = 0
    assert not rounded(weight, kind)[5].any()


def test_a_smaller_rotation_is_packed_and_undone():
    weight = gaussian(columns=192)
    error = (rounded(weight, "int8 rotated", rotated=64) - weight).norm() / weight.norm()
    assert error < ERRORS["int8 rotated"] * 2
    with pytest.raises(ValueError, match="convrot_groupsize must divide its 192 inputs, got 256"):
        pack(weight, "int8 rotated")


# -- the rotation


@pytest.mark.parametrize("size", [4, 16, 64, 256])
def test_a_rotation_keeps_lengths_and_undoes_itself(size):
    weight = gaussian()
    turned = rotate(weight, size)
    torch.testing.assert_close(rotate(turned, size), weight, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(turned.norm(dim=1), weight.norm(dim=1))
    assert torch.equal(hadamard(size), hadamard(size).T)


def test_rotated_inputs_times_rotated_weights_are_the_product_as_it_was():
    weight, inputs = gaussian(), gaussian(8)
    product = rotate(inputs, 256) @ rotate(weight, 256).T
    torch.testing.assert_close(product, inputs @ weight.T, atol=1e-5, rtol=0)


def test_a_rotation_spreads_an_outlier_over_all_inputs_of_its_group():
    outlier = torch.zeros(1, 512)
    outlier[0, 300] = 16.0
    turned = rotate(outlier, 256)
    assert not turned[:, :256].any() and (turned[:, 256:].abs() == 1.0).all()


@pytest.mark.parametrize("size", [0, 2, 8, 128, 512])
def test_a_rotation_over_no_power_of_four_is_refused(size):
    with pytest.raises(ValueError, match=f"must be over 4, 16, 64, 256, ... inputs, got {size}"):
        hadamard(size)


# -- tiles


@pytest.mark.parametrize("rows, columns", [(128, 4), (1, 1), (300, 9), (129, 5)])
def test_scales_in_tiles_are_found_where_nvidia_s_formula_puts_them(rows, columns):
    scale = torch.arange(rows * columns, dtype=torch.float32).view(rows, columns)
    assert torch.equal(from_tiles(in_tiles(scale), rows, columns), scale)


# -- float8 by table


@pytest.mark.parametrize("narrow", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_pair_of_bytes_is_widened_as_torch_does(narrow, dtype):
    pairs = torch.arange(1 << 16).to(torch.uint16).view(torch.uint8).view(256, 512).view(narrow)
    numbers, wanted = widen(pairs, dtype), pairs.to(dtype)
    bits = torch.int32 if dtype == torch.float32 else torch.int16
    assert torch.equal(numbers.isnan(), wanted.isnan())
    assert torch.equal(numbers.nan_to_num().view(bits), wanted.nan_to_num().view(bits))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_table_is_faster_than_torch_on_what_is_unpacked_at_a_time(dtype):
    weight = gaussian(256, CHUNK // 256).to(torch.float8_e4m3fn)
    widen(weight, dtype)  # the table is made
    table, cast = (best_of(20, work, weight, dtype) for work in (widen, torch.Tensor.to))
    assert table < cast


def best_of(times: int, work, *arguments) -> float:
    """-> seconds of the fastest run"""
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        work(*arguments)
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def test_an_odd_count_a_transposed_weight_and_doubles_are_widened_too():
    weight = gaussian(3, 5).to(torch.float8_e4m3fn)
    assert torch.equal(widen(weight, torch.float32), weight.float())
    weight = gaussian(4, 6).to(torch.float8_e4m3fn).t()
    assert torch.equal(widen(weight, torch.float32), weight.float())
    assert torch.equal(widen(weight, torch.float64), weight.double())


def test_widened_numbers_lie_in_memory_of_their_own():
    weight = gaussian(4, 6).to(torch.float8_e4m3fn)
    widen(weight, torch.float32).zero_()
    assert torch.equal(widen(weight, torch.float32), weight.float())

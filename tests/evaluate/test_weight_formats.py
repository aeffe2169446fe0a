"""README's table of weight formats follows from its record, and the record from the weights."""

import json

import pytest
import torch

from qwenimage_ref.evaluate import weight_formats
from qwenimage_ref.evaluate.weight_formats import FORMATS, HEADING, LOSSLESS, RECORD, errors, table
from qwenimage_ref.formats.fp8 import quantize_fp8
from qwenimage_ref.repository import ROOT

ROTATED = 64
MATRIX = torch.randn(128, 256, generator=torch.Generator().manual_seed(0)).bfloat16().float()
# bits of a number and of its share of scales, in 128 rows of 256 inputs
BITS = {
    "bf16": 16,
    "fp8 e4m3, one scale": 8 + 32 / (128 * 256),
    "int8, a scale a row": 8 + 32 / 256,
    "mxfp8": 8 + 8 / 32,
    "nvfp4": 4 + 8 / 16 + 32 / (128 * 256),
    "w4a8": 4 + 8 / 16 + 32 / 256,
}


@pytest.fixture(scope="module")
def record() -> dict:
    return json.loads(RECORD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pocket() -> tuple[str, list[torch.Tensor]]:
    return weight_formats.pocket_matrices()


def test_the_table_of_the_readme_is_that_of_the_record(record):
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    first = lines.index(HEADING[0])
    rows = table(record)
    assert lines[first : first + len(rows) + 1] == [*rows, ""]
    assert list(record["formats"]) == list(FORMATS)


def test_the_record_is_of_the_weights_that_are_shipped(record, pocket):
    weights, matrices = pocket
    assert record["weights"] == weights and record["matrices"] == len(matrices)
    assert record["numbers"] == sum(matrix.numel() for matrix in matrices)


@pytest.mark.parametrize("name", ["bf16", "fp8 e5m2, one scale", "int8, a scale a row"])
def test_errors_are_those_that_are_recorded(record, pocket, name):
    again = errors(FORMATS[name], pocket[1])
    assert again == pytest.approx({key: record["formats"][name][key] for key in again}, rel=1e-3)


def test_what_loses_nothing_has_no_error_and_a_format_of_fewer_bits_has_more(record):
    error = {name: row["error"] for name, row in record["formats"].items()}
    assert error["bf16"] == error[LOSSLESS] == 0
    assert 0 < error["int8, a scale a row"] < error["int8, one scale"] < error["mxfp8"]
    assert error["fp8 e5m2, one scale"] == pytest.approx(2 * error["fp8 e4m3, one scale"], rel=0.05)
    assert all(row["worst"] >= row["error"] for row in record["formats"].values())
    assert record["formats"]["bf16"]["unpacking"] == 1


def test_e4m3_is_that_of_the_package():
    numbers, scale = quantize_fp8(MATRIX, "tensor")
    ours = FORMATS["fp8 e4m3, one scale"](MATRIX, ROTATED).unpack(torch.float32)
    assert torch.equal(ours, numbers.float() * scale)


@pytest.mark.parametrize("name", BITS)
def test_bits_are_those_of_the_numbers_and_their_scales(name):
    assert FORMATS[name](MATRIX, ROTATED).bits == pytest.approx(BITS[name])


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_unpacked_has_the_type_that_is_asked_for(name):
    unpacked = FORMATS[name](MATRIX, ROTATED).unpack(torch.bfloat16)
    assert unpacked.shape == MATRIX.shape and unpacked.dtype == torch.bfloat16
    assert (unpacked.float() - MATRIX).norm() < 0.13 * MATRIX.norm()


def test_a_layer_that_is_unpacked_is_measured_in_units_of_bf16():
    rows = weight_formats.unpacking(width=256, rounds=1)
    assert rows["bf16"]["unpacking"] == 1 and all(row["unpacking"] > 0 for row in rows.values())

"""fp8: what a cast costs, and the files that are written."""

import pytest
import torch
from helpers.fp8_files import BF16, FP8, GRANULARITIES, empty, gaussian, header_bytes, model
from helpers.nets import SMALL
from safetensors.torch import load_file

from qwenimage_ref.adapt.streaming import named_linears
from qwenimage_ref.files import CheckpointError
from qwenimage_ref.formats import fp8
from qwenimage_ref.formats.fp8 import Fp8Linear, quantize_fp8, save_fp8, unpack_fp8
from qwenimage_ref.load import load_weights
from qwenimage_ref.parity.reference import random_weights


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


def test_what_cannot_be_quantised_is_refused():
    w = torch.ones(4, 96)
    with pytest.raises(
        ValueError, match="inputs must be a multiple of 64, got 96; quantise by row"
    ):
        quantize_fp8(w, "block")
    with pytest.raises(ValueError, match="granularity must be one of .*, got 'column'"):
        quantize_fp8(w, "column")
    w[0, 0] = torch.inf
    with pytest.raises(ValueError, match="must be finite for fp8, got NaN or infinity"):
        quantize_fp8(w, "plain")


def test_scales_in_bf16_give_the_numbers_of_musubis_own_product():
    packed, scale = quantize_fp8(gaussian(0.02, 64, 256), "block")
    scale = scale.to(BF16)
    theirs = (packed.to(BF16).view(64, 4, 64) * scale).view(64, 256)
    assert torch.equal(unpack_fp8(packed, scale, BF16), theirs)


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
    written_endings = [name.rpartition(".")[2] for name in tensors if "scale" in name]
    assert {ending: written_endings.count(ending) for ending in written_endings} == endings


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
    with pytest.raises(
        CheckpointError, match="inputs must be a multiple of 64, got 32; quantise by row"
    ):
        save_fp8(random_weights(empty(SMALL), 0), file, "block")
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]

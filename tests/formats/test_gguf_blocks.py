"""Blocks of GGUF, bit for bit as the gguf package reads and writes them."""

import struct

import gguf
import numpy as np
import pytest
import torch
from gguf.constants import GGMLQuantizationType
from helpers.gguf_files import ENCODED, drawn_rows, theirs

from qwenimage_ref.formats import gguf_blocks
from qwenimage_ref.formats.gguf_blocks import LAYOUTS, decode, encode

every_kind = pytest.mark.parametrize("kind", LAYOUTS)


@every_kind
def test_a_decoder_gives_every_bit_that_the_gguf_package_gives(kind, monkeypatch):
    rows = drawn_rows(kind, 7, 1280)
    expected = theirs(rows, kind)
    assert expected.shape == (7, 1280) and expected.std() > 1e-3
    assert torch.equal(decode(rows, kind), expected)
    assert torch.equal(decode(rows, kind, torch.bfloat16), expected.bfloat16())
    monkeypatch.setattr(gguf_blocks, "CHUNK", 600)  # in several parts, the last one smaller
    assert torch.equal(decode(rows, kind), expected)


@every_kind
def test_the_table_of_kinds_is_that_of_the_gguf_package(kind):
    number = GGMLQuantizationType[kind]
    layout = LAYOUTS[kind]
    assert (number, gguf.GGML_QUANT_SIZES[number]) == (
        layout.number,
        (layout.values, layout.bytes),
    )


def test_a_block_built_by_hand_decodes_to_the_numbers_that_it_was_built_from():
    q = [7, -128, 127, 0] * 8
    block = np.float16(0.25).tobytes() + struct.pack("32b", *q)
    block = torch.frombuffer(bytearray(block), dtype=torch.uint8)
    assert decode(block, "Q8_0").tolist() == [n / 4 for n in q]
    halves = np.float16(2).tobytes() + bytes(16 * high + low for low, high in [(3, 15)] * 16)
    halves = torch.frombuffer(bytearray(halves), dtype=torch.uint8)
    assert decode(halves, "Q4_0").tolist() == [2 * (3 - 8)] * 16 + [14] * 16


def awkward_weights() -> torch.Tensor:
    """Rows of blocks with ties, halves, zeros, numbers near zero, and large ones."""
    generator = torch.Generator().manual_seed(0)
    weight = 0.02 * torch.randn(24, 320, generator=generator)
    weight[0, :64] = 0
    weight[1, :2] = torch.tensor([0.5, -0.5])
    weight[2, :2] = torch.tensor([-0.5, 0.5])
    weight[3] = torch.randint(-254, 255, (320,), generator=generator) / 2
    weight[4] *= 1e-7
    weight[5] *= 1e6
    weight[6] = -weight[6].abs()
    return weight


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "BF16"])
def test_an_encoder_writes_every_byte_that_the_gguf_package_writes(kind):
    for weight in (awkward_weights(), awkward_weights().bfloat16()):
        expected = gguf.quants.quantize(weight.float().numpy(), GGMLQuantizationType[kind])
        assert torch.equal(encode(weight, kind), torch.from_numpy(expected))


@pytest.mark.parametrize("kind, error", [("Q8_0", 0.00535), ("Q4_0", 0.0860)])
def test_the_error_of_gaussian_weights_is_the_known_one(kind, error):
    weight = 0.02 * torch.randn(512, 1024, generator=torch.Generator().manual_seed(0))
    lost = decode(encode(weight, kind), kind) - weight
    assert (lost.norm() / weight.norm()).item() == pytest.approx(error, rel=0.01)


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e38])
def test_weights_that_no_file_can_hold_are_not_encoded(kind, bad):
    weight = torch.ones(3, 64)
    weight[1, 40] = bad
    if (kind, bad) in [("F32", 1e38), ("BF16", 1e38)]:
        assert torch.isfinite(decode(encode(weight, kind), kind)).all()
    else:
        with pytest.raises(ValueError, match="got NaN, infinity or one too large"):
            encode(weight, kind)


def test_a_block_next_to_zero_becomes_zero_and_not_nan():
    weight = torch.full((1, 32), 1e-43)
    for kind in ("Q8_0", "Q4_0"):
        assert decode(encode(weight, kind), kind).abs().max() == 0

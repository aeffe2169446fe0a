"""Chapter 21: precision."""

import math
import struct
from functools import partial

import numpy as np

from ..answers import EX_21_FP8, EX_21_Q4
from .common import exercise, need, need_none
from .integer_product import check_product

# --- a byte of float8_e4m3fn


@exercise
def ex_21_fp8(decode) -> str:
    """decode(byte) -> the number that float8_e4m3fn means by it, for all 256."""
    numbers = []
    for byte in range(256):
        try:
            number = decode(byte)
        except (OverflowError, ZeroDivisionError, ValueError) as error:
            need(False, f"{_bits(byte)}: {error}")
        need(
            isinstance(number, int | float | np.number),
            f"{_bits(byte)}: give a plain number, not {type(number).__name__}",
        )
        numbers.append(float(number))
    right = [EX_21_FP8(byte) for byte in range(256)]
    for wrong, hint in _FP8_MISTAKES:
        need(not _same(numbers, [wrong(byte) for byte in range(256)]), hint)
    need(
        any(number < 0 for number in numbers),
        "no number is below zero: what does the first bit say?",
    )
    need(
        all(map(math.isfinite, numbers[:127])),
        f"{_bits(126)} and bytes like it are plain numbers here: the letters fn say finite, and no "
        "pattern is spent on infinity",
    )
    need(
        not math.isfinite(numbers[127]) and not math.isfinite(numbers[255]),
        "two of the 256 bytes are no number at all: those with a one in every place but the sign",
    )
    need(math.isnan(numbers[127]), "there is no infinity in this format, not even one")
    for byte in range(256):
        near = numbers[byte] == right[byte] or math.isnan(right[byte]) and math.isnan(numbers[byte])
        where = "with all exponent bits zero" if not byte & 0x78 else "of the ordinary kind"
        need(near, f"{_bits(byte)}, a byte {where}, is not {numbers[byte]:g}")
    return "256 bytes, each with its number"


def _bits(byte: int) -> str:
    text = f"{byte:08b}"
    return f"{text[0]} {text[1:5]} {text[5:]}"


def _same(a: list[float], b: list[float]) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


def _variant(
    bias=7, hidden=1.0, first=None, smallest=-6, parts=8, infinite=False, none=math.nan, sign=True
):
    """The decoder with one thing done otherwise; `first`: what is added where exponents are 0"""

    def decode(byte: int) -> float:
        exponent, fraction = byte >> 3 & 15, byte & 7
        minus = -1.0 if sign and byte >> 7 else 1.0
        if infinite and exponent == 15:
            return math.nan if fraction else minus * math.inf
        if byte & 127 == 127:
            return none if math.isnan(none) else minus * none
        if exponent == 0 and first is not None:
            return minus * 2.0**smallest * (first + fraction / parts)
        return minus * 2.0 ** (exponent - bias) * (hidden + fraction / parts)

    return decode


def _two_bits(byte: int) -> float:
    return float(np.array([byte << 8], np.uint16).view(np.float16)[0])


_NO_RULE = (
    "right but for bytes whose exponent bits are all zero: there the leading one is absent, or "
    "zero itself could not be written"
)
_FINITE = (
    f"{_bits(120)} and its neighbours are plain numbers here: the letters fn say finite, and no "
    "pattern is spent on infinity"
)
_FP8_MISTAKES = [
    (_variant(first=0, sign=False), "no number is below zero: what does the first bit say?"),
    (
        _variant(bias=8, first=0, smallest=-7),
        f"everything is half as large as it should be; {_bits(56)} means 1",
    ),
    (
        _variant(bias=6, first=0, smallest=-5),
        f"everything is twice as large as it should be; {_bits(56)} means 1",
    ),
    (_variant(first=None), _NO_RULE),
    (_variant(first=1, smallest=-6), _NO_RULE),
    (
        _variant(first=0, smallest=-7),
        "right but for the smallest numbers, which are half as large as they should be: without "
        "the leading one they keep the exponent of the smallest number that has it",
    ),
    (
        _variant(hidden=0.0, first=0),
        f"{_bits(56)} should be 1: in front of the fraction stands a one that no bit holds",
    ),
    (_variant(first=0, infinite=True), _FINITE),
    (
        _variant(first=0, none=480.0),
        "two of the 256 bytes are no number at all: those with a one in every place but the sign",
    ),
    (
        _variant(first=0, parts=7),
        f"{_bits(60)} should be one and a half: how many steps lead from one power of two to the "
        "next?",
    ),
    (_two_bits, "that is e5m2, the other fp8; in e4m3 the exponent has one bit less"),
    (
        lambda byte: 0.0 if not byte & 0x78 else EX_21_FP8(byte),
        "bytes whose exponent bits are all zero are not all zero: fourteen of them are the "
        "smallest numbers that there are",
    ),
]

# --- a block of Q4_0


@exercise
def ex_21_q4(decode_block) -> str:
    """decode_block(18 bytes) -> the 32 weights of a Q4_0 block."""
    source = np.random.default_rng(21)
    for scale in (0.037, -0.2371, 3.517):
        block = struct.pack("<e", scale) + source.permutation(256)[:16].astype(np.uint8).tobytes()
        try:
            numbers = np.asarray(decode_block(block), dtype=np.float64)
        except (TypeError, ValueError) as error:
            need(False, f"give 32 numbers for the bytes of a block ({error})")
        except (IndexError, struct.error, OverflowError) as error:
            need(False, f"a block has eighteen bytes, two of scale and sixteen more: {error}")
        need(
            numbers.shape == (32,),
            f"a block holds 32 weights, but you give an array of {numbers.shape}; each byte holds "
            "two",
        )
        need(not np.isnan(numbers).any(), "some of your weights are no numbers")
        mistakes = _Q4_MISTAKES + (_NEGATIVE_SCALE if scale < 0 else ())
        need_none(numbers, mistakes, partial(np.allclose, rtol=1e-6, atol=1e-12), _Q4(block))
        need(
            np.allclose(numbers, EX_21_Q4(block), rtol=1e-6, atol=1e-12),
            f"for a scale of {scale} the weights are others; take one byte, and write down its two "
            "halves, the integers they represent, and their places in the block",
        )
    return "18 bytes, 32 weights"


class _Q4:
    """A block taken apart: the bytes of its scale, the scale, the halves of its other bytes."""

    def __init__(self, block: bytes):
        self.bytes = block[:2]
        (self.scale,) = struct.unpack("<e", self.bytes)
        raw = np.frombuffer(block[2:], np.uint8).astype(np.float64)
        self.low, self.high = raw % 16, raw // 16
        self.q = np.concatenate([self.low, self.high])


_Q4_MISTAKES = (
    (
        lambda b: b.scale * (np.stack([b.low, b.high], 1).flatten() - 8),
        "the right weights in wrong places: the two halves of a byte are sixteen places apart, "
        "not neighbours",
    ),
    (
        lambda b: b.scale * (np.concatenate([b.high, b.low]) - 8),
        "the right weights, but the two halves of the block are exchanged: the first sixteen lie "
        "in the lower halves of the bytes",
    ),
    (
        lambda b: b.scale * b.q,
        "all weights have the sign of the scale; the integers are stored shifted, so that "
        "the middle of their range means zero",
    ),
    (
        lambda b: b.scale * (b.q - 7.5),
        "no weight can be zero that way; the middle is an integer",
    ),
    (
        lambda b: struct.unpack(">e", b.bytes)[0] * (b.q - 8),
        "the integers are right, the scale is not: its lower byte comes first",
    ),
    (
        lambda b: np.frombuffer(b"\0\0" + b.bytes, "<f4")[0] * (b.q - 8),
        "the scale is a float16, not the upper half of a float32",
    ),
    (
        lambda b: struct.unpack("<H", b.bytes)[0] * (b.q - 8),
        "the bits of the scale were read as an integer; it is a float16",
    ),
    (
        lambda b: np.concatenate([b.scale * (b.low - 8), b.high - 8]),
        "the upper halves are not scaled; one scale serves the whole block",
    ),
    (
        lambda b: b.scale * np.where(b.q < 8, b.q, b.q - 16),
        "you read the halves of a byte as signed numbers; they are stored shifted instead, the "
        "smallest as zero",
    ),
    (
        lambda b: (b.scale * (b.q - 8)).astype(np.float16).astype(np.float64),
        "the products were rounded to float16; the scale has 11 bits and the integer 4, so "
        "multiply in a wider format",
    ),
    (
        lambda b: (b.q - 8) / b.scale,
        "you divide by the scale; packing did that, unpacking undoes it",
    ),
)
_NEGATIVE_SCALE = (
    (lambda b: abs(b.scale) * (b.q - 8), "a scale may be below zero, too; keep its sign"),
)


# --- a product of blocks


@exercise
def ex_21_multiply(multiply) -> str:
    """multiply(x (N, in), rows (out, 18 in / 32) of Q4_0) -> (N, out), by sums of integers"""
    check_product(multiply)
    return "sums of integers, and two scales for each block"

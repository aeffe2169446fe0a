"""The blocks that GGUF files keep weights in: 32 or 256 numbers of a row, packed with their scale.

A block holds small whole numbers q and the scales that make weights of them. Each decoder takes
blocks of bytes, (..., bytes), to their numbers, (..., values), in float32 and in the order of
operations of ggml, so that every bit is the one that other programs compute.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

CHUNK = 1 << 20  # numbers decoded at a time: what they need on the way stays small


# --- decoders


def _half(blocks, at: int):
    """The float16 number at this byte of each block, as float32: (..., 1)"""
    return blocks[..., at : at + 2].contiguous().view(torch.float16).float()


def _shifts(blocks, *by: int):
    """(..., n) bytes, each shifted to the right by each of these: (..., len(by), n)"""
    return torch.stack([blocks >> bits for bits in by], dim=-2)


def _nibbles(blocks):
    """(..., n) bytes: (..., 2, n), their lower halves, then their upper halves"""
    return _shifts(blocks, 0, 4) & 15


def _q8_0(blocks):
    """f16 d; 32 x i8 q. w = d q"""
    return blocks[..., 2:].contiguous().view(torch.int8).float() * _half(blocks, 0)


def _q4_0(blocks):
    """f16 d; 16 bytes: lower halves are elements 0 to 15, upper ones 16 to 31. w = d (q - 8)"""
    return (_nibbles(blocks[..., 2:]).flatten(-2).float() - 8) * _half(blocks, 0)


def _q4_1(blocks):
    """f16 d; f16 m; 16 bytes as in Q4_0. w = d q + m"""
    return _nibbles(blocks[..., 4:]).flatten(-2).float() * _half(blocks, 0) + _half(blocks, 2)


def _fives(blocks):
    """4 bytes with the fifth bit of each element; 16 bytes as in Q4_0: (..., 32) of 0 to 31"""
    fifth = (_shifts(blocks[..., :4], *range(8)) & 1).transpose(-1, -2).flatten(-2)
    return (_nibbles(blocks[..., 4:]).flatten(-2) | fifth << 4).float()


def _q5_0(blocks):
    """f16 d; 20 bytes of fives. w = d (q - 16)"""
    return (_fives(blocks[..., 2:]) - 16) * _half(blocks, 0)


def _q5_1(blocks):
    """f16 d; f16 m; 20 bytes of fives. w = d q + m"""
    return _fives(blocks[..., 4:]) * _half(blocks, 0) + _half(blocks, 2)


def _pairs(blocks):
    """64 bytes: of each 32, bits 0 and 1 are 32 elements, bits 2 and 3 the next: (..., 2, 128)"""
    return (_shifts(blocks.unflatten(-1, (2, 32)), 0, 2, 4, 6) & 3).flatten(-2)


def _q2_k(blocks):
    """16 bytes of scale and, above it, minimum; 64 bytes of pairs; f16 d; f16 dmin

    w = (d scale) q - dmin minimum, in sub-blocks of 16
    """
    q = _pairs(blocks[..., 16:80]).flatten(-2).unflatten(-1, (16, 16)).float()
    scale, minimum = _nibbles(blocks[..., :16]).float().unbind(-2)
    scale, minimum = _half(blocks, 80) * scale, _half(blocks, 82) * minimum
    return (scale.unsqueeze(-1) * q - minimum.unsqueeze(-1)).flatten(-2)


def _q3_k(blocks):
    """32 bytes of third bits; 64 bytes of pairs; 12 bytes of scale; f16 d. w = d scale (q - 4)

    Of 16 scales the lower 4 bits lie in the halves of 8 bytes, the upper 2 in pairs of 4 bytes.
    """
    third = (_shifts(blocks[..., :32], *range(8)) & 1).flatten(-2)
    q = (_pairs(blocks[..., 32:96]).flatten(-2) | third << 2).float() - 4
    low = _nibbles(blocks[..., 96:104]).flatten(-2)
    high = (_shifts(blocks[..., 104:108], 0, 2, 4, 6) & 3).flatten(-2)
    scale = _half(blocks, 108) * ((low | high << 4).float() - 32)
    return (scale.unsqueeze(-1) * q.unflatten(-1, (16, 16))).flatten(-2)


def _scales_and_minima(blocks):
    """12 bytes: eight scales and eight minima of 6 bits, (..., 8, 1) each as float32

    The first four of either lie in the lower 6 bits of bytes 0 to 7; of the last four, 4 bits lie
    in bytes 8 to 11 and 2 in the upper bits of bytes 0 to 7.
    """
    scales, minima, rest = blocks.unflatten(-1, (3, 4)).unbind(-2)
    last = (rest & 15) | (scales >> 6 << 4), (rest >> 4) | (minima >> 6 << 4)
    pairs = zip((scales & 63, minima & 63), last)
    return tuple(torch.cat(pair, dim=-1).float().unsqueeze(-1) for pair in pairs)


def _k_weights(blocks, q):
    """Blocks that begin with f16 d; f16 dmin; 12 bytes of scales: w = (d scale) q - dmin minimum"""
    scale, minimum = _scales_and_minima(blocks[..., 4:16])
    d, dmin = _half(blocks, 0).unsqueeze(-1), _half(blocks, 2).unsqueeze(-1)
    return ((d * scale) * q.float() - dmin * minimum).flatten(-2)


def _q4_k(blocks):
    """16 bytes as above; 128 bytes: lower halves of 32 are sub-block 2 g, upper ones 2 g + 1"""
    q = _nibbles(blocks[..., 16:].unflatten(-1, (4, 32))).flatten(-3, -2)  # (..., 8, 32)
    return _k_weights(blocks, q)


def _q5_k(blocks):
    """As Q4_K; before the 128 bytes, 32 whose bit j is the fifth bit of sub-block j"""
    q = _nibbles(blocks[..., 48:].unflatten(-1, (4, 32))).flatten(-3, -2)
    return _k_weights(blocks, q | (_shifts(blocks[..., 16:48], *range(8)) & 1) << 4)


def _q6_k(blocks):
    """128 bytes ql; 64 bytes qh; 16 x i8 scale; f16 d. w = (d scale) (q - 32), in two halves"""
    low = _nibbles(blocks[..., :128].unflatten(-1, (2, 64))).flatten(-2)  # (..., 2, 128)
    high = _pairs(blocks[..., 128:192])
    q = (low | high << 4).flatten(-2).unflatten(-1, (16, 16)).float() - 32
    scale = blocks[..., 192:208].contiguous().view(torch.int8).float()
    return ((_half(blocks, 208) * scale).unsqueeze(-1) * q).flatten(-2)


# the numbers of the IQ4 kinds by their 4 bits: nearer together where weights are frequent
UNEVEN = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)


def _uneven(q):
    return torch.tensor(UNEVEN, dtype=torch.float32, device=q.device)[q.int()]


def _iq4_nl(blocks):
    """f16 d; 16 bytes as in Q4_0. w = d uneven(q)"""
    return _uneven(_nibbles(blocks[..., 2:]).flatten(-2)) * _half(blocks, 0)


def _iq4_xs(blocks):
    """f16 d; 2 bytes of pairs and 4 of halves, the scales; 128 bytes: w = (d scale) uneven(q)

    Of 8 scales the upper 2 bits come first, four to a byte, then the lower 4, two to a byte. Every
    16 bytes are a sub-block of 32 as in IQ4_NL.
    """
    high = (_shifts(blocks[..., 2:4], 0, 2, 4, 6) & 3).transpose(-1, -2).flatten(-2)
    low = _nibbles(blocks[..., 4:8]).transpose(-1, -2).flatten(-2)
    scale = _half(blocks, 0) * ((low | high << 4).float() - 32)
    q = _nibbles(blocks[..., 8:].unflatten(-1, (8, 16))).flatten(-2)  # (..., 8, 32)
    return (scale.unsqueeze(-1) * _uneven(q)).flatten(-2)


def _plain(dtype: torch.dtype):
    return lambda blocks: blocks.contiguous().view(dtype).float()


# --- the table


@dataclass(frozen=True)
class Layout:
    """How one kind of block lies in a file."""

    number: int  # ggml's for the kind
    values: int  # numbers in a block
    bytes: int
    decode: Callable
    halves: tuple[int, ...] = ()  # bytes at which its float16 scales begin


LAYOUTS = {
    "F32": Layout(0, 1, 4, _plain(torch.float32)),
    "F16": Layout(1, 1, 2, _plain(torch.float16)),
    "BF16": Layout(30, 1, 2, _plain(torch.bfloat16)),
    "Q4_0": Layout(2, 32, 18, _q4_0, (0,)),
    "Q4_1": Layout(3, 32, 20, _q4_1, (0, 2)),
    "Q5_0": Layout(6, 32, 22, _q5_0, (0,)),
    "Q5_1": Layout(7, 32, 24, _q5_1, (0, 2)),
    "Q8_0": Layout(8, 32, 34, _q8_0, (0,)),
    "Q2_K": Layout(10, 256, 84, _q2_k, (80, 82)),
    "Q3_K": Layout(11, 256, 110, _q3_k, (108,)),
    "Q4_K": Layout(12, 256, 144, _q4_k, (0, 2)),
    "Q5_K": Layout(13, 256, 176, _q5_k, (0, 2)),
    "Q6_K": Layout(14, 256, 210, _q6_k, (208,)),
    "IQ4_NL": Layout(20, 32, 18, _iq4_nl, (0,)),
    "IQ4_XS": Layout(23, 256, 136, _iq4_xs, (0,)),
}
PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def row_bytes(values: int, kind: str) -> int:
    """Bytes of a row of so many numbers. Raises ValueError where they fill no whole blocks."""
    layout = LAYOUTS[kind]
    if values % layout.values:
        raise ValueError(
            f"rows must be a multiple of {layout.values} numbers long for {kind}, got {values:,}"
        )
    return values // layout.values * layout.bytes


def decode(rows: torch.Tensor, kind: str, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """(..., 34n) -> (..., 32n) for Q8_0, uint8 to numbers; decoded in float32, rounded once"""
    layout = LAYOUTS[kind]
    blocks = rows.unflatten(-1, (-1, layout.bytes)).flatten(0, -2)
    numbers = torch.empty(len(blocks), layout.values, dtype=dtype, device=rows.device)
    for part, into in zip(*(x.split(CHUNK // layout.values) for x in (blocks, numbers))):
        into.copy_(layout.decode(part))
    return numbers.view(*rows.shape[:-1], -1)


def scales(rows: torch.Tensor, kind: str) -> torch.Tensor:
    """The float16 scales of all blocks; one that is no number spoils every weight of its block."""
    layout = LAYOUTS[kind]
    blocks = rows.unflatten(-1, (-1, layout.bytes))
    return torch.cat([_half(blocks, at).flatten() for at in layout.halves])


# --- encoders


def encode(weight: torch.Tensor, kind: str) -> torch.Tensor:
    """(..., 32n) -> (..., 34n) for Q8_0, numbers to uint8; F32, F16, BF16, Q8_0 and Q4_0

    Raises ValueError where a number, or the scale of a block, is too large or none.
    """
    if kind in PLAIN:
        stored = weight.to(PLAIN[kind]).contiguous()
        _demand_finite(stored)
        return stored.view(torch.uint8)
    blocks = weight.float().unflatten(-1, (-1, LAYOUTS[kind].values))
    d, q = _ENCODERS[kind](blocks)
    _demand_finite(d)
    return torch.cat([d.view(torch.uint8), q.view(torch.uint8)], dim=-1).flatten(-2)


def _encode_q8_0(blocks):
    d = blocks.abs().amax(-1, keepdim=True) / 127
    scaled = blocks * _inverse(d)
    whole = scaled.trunc()  # halves are rounded away from zero
    return d.half(), (whole + (2 * (scaled - whole)).trunc()).to(torch.int8)


def _encode_q4_0(blocks):
    # the number of largest magnitude keeps its sign and becomes 0 - 8
    d = blocks.gather(-1, blocks.abs().argmax(-1, keepdim=True)) / -8
    q = (blocks * _inverse(d) + 8.5).trunc().clamp(0, 15).to(torch.uint8)
    low, high = q.chunk(2, dim=-1)
    return d.half(), low | high << 4


_ENCODERS = {"Q8_0": _encode_q8_0, "Q4_0": _encode_q4_0}


def _inverse(d):
    inverse = 1 / d  # infinite for a block of zeros or nearly so, where all q become the same
    return torch.where(torch.isfinite(inverse), inverse, 0.0)


def _demand_finite(numbers) -> None:
    if not torch.isfinite(numbers).all():
        raise ValueError("numbers must be finite in its type, got NaN, infinity or one too large")

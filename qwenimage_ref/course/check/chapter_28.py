"""Chapter 28: outliers."""

import math

import torch

from ...formats.comfy_layouts import E2M1
from ..answers import EX_28_HUFFMAN, EX_28_NVFP4, EX_28_ROTATE
from .common import demand_shape, exercise, near, need, need_none, need_same, numbers

# --- a rotation

_SIZES = ((3, 8, 4), (5, 48, 16), (2, 128, 64))


@exercise
def ex_28_rotate(rotate_by_hand) -> str:
    """rotate_by_hand(weight, size) -> (out, in), groups of inputs times a Hadamard matrix"""
    weights = [numbers(out, in_, seed=in_) for out, in_, _ in _SIZES]
    sizes = [size for *_, size in _SIZES]
    turned = [rotate_by_hand(weight, size) for weight, size in zip(weights, sizes)]
    for weight, given in zip(weights, turned):
        demand_shape(given, tuple(weight.shape), "of the weight's own shape")
    need_none(turned, _ROTATE_MISTAKES, _all_near, weights, sizes)
    for weight, size in zip(weights, sizes):
        need_same(
            rotate_by_hand, EX_28_ROTATE, near, (weight, size),
            "these are not the rotated groups; rotate a row with a single 1 in it and look at the "
            "signs",
        )  # fmt: skip
    return "every group is rotated, and keeps its length"


def _all_near(a, b) -> bool:
    return all(map(near, a, b))


def _each(rule):
    return lambda weights, sizes: [rule(*pair) for pair in zip(weights, sizes)]


def _turned(weight, size, four=None, by=None, interleaved=False):
    four = torch.ones(4, 4) - 2 * torch.eye(4).flip(0) if four is None else four
    matrix = four
    while len(matrix) < size:
        matrix = torch.kron(matrix, four)
    matrix = matrix[:size, :size] / (size**0.5 if by is None else by)
    if interleaved:
        groups = weight.unflatten(1, (size, -1)).transpose(1, 2)
        return (groups @ matrix).transpose(1, 2).flatten(1)
    return (weight.unflatten(1, (-1, size)) @ matrix).flatten(1)


_TWO = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
_ROTATE_MISTAKES = [
    (
        _each(lambda w, n: _turned(w, n, by=1)),
        "the weights have grown: divide the matrix so that its rows have length 1",
    ),
    (
        _each(lambda w, n: _turned(w, n, by=n)),
        "the weights have shrunk: divide by what makes the rows of the matrix have length 1",
    ),
    (
        _each(lambda w, n: _turned(w, n, four=_TWO)),
        "that is Sylvester's matrix, whose first row is all ones; begin with the matrix of 4 that "
        "the page gives",
    ),
    (
        _each(lambda w, n: _turned(w, n, four=torch.ones(4, 4) - 2 * torch.eye(4))),
        "the minus signs stand on the other diagonal, from the upper right to the lower left",
    ),
    (
        _each(lambda w, n: _turned(w, n, four=-(torch.ones(4, 4) - 2 * torch.eye(4).flip(0)))),
        "all signs are turned round: three of the four in a row are plus",
    ),
    (
        _each(lambda w, n: _turned(w, n, interleaved=True)),
        "a group holds neighbouring inputs; yours holds every so-many-th",
    ),
    (_each(lambda w, n: w), "nothing is rotated, or twice"),
]

# --- nvfp4


@exercise
def ex_28_nvfp4(decode) -> str:
    """decode(bytes (n / 2,), scales (n / 16,), one number) -> (n,)"""
    for n, whole in ((32, 0.25), (48, 1.75)):
        generator = torch.Generator().manual_seed(n)
        packed = torch.randperm(256, generator=generator)[: n // 2].to(torch.uint8)
        scales = torch.rand(n // 16, generator=generator) + 0.5
        given = decode(packed, scales, whole)
        demand_shape(given, (n,), "with two numbers for each byte")
        need_none(given, _NVFP4_MISTAKES, near, packed, scales, whole)
        need_same(
            decode, EX_28_NVFP4, near, (packed, scales, whole),
            "some number is another; print the sixteen codes with scales of 1 and compare",
        )  # fmt: skip
    return "sixteen codes, and a scale for every sixteen numbers"


def _unpacked(packed, scales, whole, table=E2M1, upper_first=True, every=16, signed=False):
    halves = [packed >> 4, packed & 15]
    codes = torch.stack(halves if upper_first else halves[::-1], dim=-1).flatten().long()
    table = torch.tensor([*table, *(-number for number in table)])
    size = torch.where(codes > 7, codes - 16, codes).float() if signed else table[codes]
    return size * scales.repeat_interleave(every)[: len(codes)] * whole


_WITHOUT_SUBNORMALS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
_NVFP4_MISTAKES = [
    (
        lambda *a: _unpacked(*a, upper_first=False),
        "the first number of a byte is in its upper half; GGUF and this format differ there",
    ),
    (
        lambda *a: _unpacked(*a, signed=True),
        "these are not integers from -8 to 7: there is a sign, an exponent and a fraction",
    ),
    (
        lambda *a: _unpacked(*a, table=_WITHOUT_SUBNORMALS),
        "there is no zero among your numbers: where both exponent bits are zero the leading one is "
        "absent, and the power of two is that of the exponent one",
    ),
    (
        lambda *a: _unpacked(*a, table=(0.0, 0.25, *E2M1[2:])),
        "the smallest number above zero is half as large as it should be: it keeps the power of "
        "two of the exponent one",
    ),
    (
        lambda *a: _unpacked(*a, table=[2 * number for number in E2M1]),
        "everything is twice as large as it should be: the exponent's bias is 1",
    ),
    (
        lambda *a: _unpacked(*a, table=[number / 2 for number in E2M1]),
        "everything is half as large as it should be: the exponent's bias is 1",
    ),
    (
        lambda p, s, w: _unpacked(p, s, 1.0),
        "the number that scales the whole layer is missing",
    ),
    (
        lambda p, s, w: _unpacked(p, torch.ones_like(s), w),
        "the scales of the groups are missing",
    ),
    (
        lambda p, s, w: _unpacked(p, s.repeat(16), w, every=1),
        "neighbours share a scale, sixteen numbers each; yours take turns",
    ),
    (
        lambda *a: _unpacked(*a).abs(),
        "no number is below zero: what does the first of the four bits say?",
    ),
]

# --- Huffman's code

_COUNTS = (
    [5, 1, 2, 1], [1, 1, 1, 1, 1], [100, 0, 3, 50, 7, 0, 22], [0, 9, 0], [1, 2, 4, 8, 16, 32],
    [0, 0, 4], [6, 6], [13, 11, 7, 5, 3, 2, 2, 1],
)  # fmt: skip


@exercise
def ex_28_huffman(code_lengths) -> str:
    """code_lengths(counts) -> bits of the code of each symbol, 0 where it does not occur"""
    given = [_lengths(code_lengths, counts) for counts in _COUNTS]
    need_none(given, _HUFFMAN_MISTAKES, lambda a, b: a == b)
    for counts, lengths in zip(_COUNTS, given):
        need(
            all((length > 0) == (count > 0) for length, count in zip(lengths, counts)),
            f"{counts}: what occurs needs a bit at least, and what does not occur none",
        )
        need(
            sum(2.0**-length for length in lengths if length) <= 1,
            f"{counts}: {lengths} are too short: such words could not be distinguished",
        )
        need(
            _total(lengths, counts) == _total(EX_28_HUFFMAN(counts), counts),
            f"{counts}: with {lengths} a text takes {_total(lengths, counts)} bits, and it can be "
            "done in fewer",
        )
    return "no code takes fewer bits"


def _lengths(code_lengths, counts) -> list[int]:
    lengths = code_lengths(list(counts))
    need(
        isinstance(lengths, (list, tuple)) and len(lengths) == len(counts),
        "give a list with a length for each symbol",
    )
    need(
        all(isinstance(length, int) and length >= 0 for length in lengths),
        "lengths are integers, in bits",
    )
    return list(lengths)


def _total(lengths, counts) -> int:
    return sum(length * count for length, count in zip(lengths, counts))


def _equal_lengths(counts) -> list[int]:
    occurring = sum(count > 0 for count in counts)
    return [math.ceil(math.log2(max(occurring, 2))) if count else 0 for count in counts]


def _joined(counts, first=1, alone=1, added=True) -> list[int]:
    """Huffman's rule with one thing done otherwise; first: -1 joins the most frequent"""
    groups = [(count, [symbol]) for symbol, count in enumerate(counts) if count]
    lengths = [0] * len(counts)
    if len(groups) == 1:
        lengths[groups[0][1][0]] = alone
    while len(groups) > 1:
        groups.sort(key=lambda group: first * group[0])
        (n, ours), (m, theirs), *groups = groups
        for symbol in ours + theirs:
            lengths[symbol] += 1
        groups.append((n + m if added else max(n, m), ours + theirs))
    return lengths


def _all(rule):
    return lambda: [rule(counts) for counts in _COUNTS]


_HUFFMAN_MISTAKES = [
    (
        _all(_equal_lengths),
        "all codes are equally long; what is frequent should have a shorter one",
    ),
    (
        _all(lambda c: [math.ceil(math.log2(sum(c) / n)) or 1 if n else 0 for n in c]),
        "that is the rule of Shannon, each length for itself; joining the rarest does better",
    ),
    (
        _all(lambda c: _joined(c, first=-1)),
        "the most frequent are joined first and get the longest codes; begin at the other end",
    ),
    (
        _all(lambda c: _joined(c, alone=0)),
        "a symbol that is alone still needs a bit, or nothing would be written",
    ),
    (
        _all(lambda c: _joined(c, added=False)),
        "a joined group occurs as often as both of its halves together",
    ),
]

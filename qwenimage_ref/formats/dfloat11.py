"""DFloat11: bfloat16 without loss in 11 bits, because its exponents are few and unevenly frequent.

A bfloat16 is a sign, 8 bits of exponent and 7 of mantissa. Sign and mantissa of trained weights are
as good as random and stay as they are, a byte each. Of the exponents some thirty occur at all, and
most weights have one of a few: a Huffman code needs about 3 bits for one.

Codes of different lengths can be read one after the other only, unless it is known where some of
them begin. For every 8 bytes it is therefore noted how far the code before reaches into them
(`gaps`), and all pieces are decoded at the same time. Bit stream, gaps and positions are cut as in
the publisher's package (dfloat11 0.5.0, arXiv 2504.11651). Its files are not read here: they hold
the groups of layers that are compressed together, and tables for a GPU's shared memory.
"""

import heapq
from dataclasses import dataclass

import torch

PIECE = 8  # bytes that are decoded together
PIECES = 512  # pieces that share an entry in output_positions: threads of a block, on a GPU
LONGEST = 32  # bits of a code
EXPONENTS = 256


@dataclass(frozen=True)
class DFloat11:
    """A weight in bfloat16, compressed."""

    encoded_exponent: torch.Tensor  # uint8: the codes, one after the other
    sign_mantissa: torch.Tensor  # uint8, of the weight's shape: its sign, then its mantissa
    gaps: torch.Tensor  # uint8: 5 bits for each piece, at which bit of it its first code begins
    output_positions: torch.Tensor  # int64: which number the first of every 512 pieces begins with
    lengths: torch.Tensor  # uint8, (256,): bits of the code of each exponent; 0: it does not occur

    @property
    def bits(self) -> float:
        """Bits that are stored for a number"""
        parts = (self.encoded_exponent, self.sign_mantissa, self.gaps, self.lengths)
        stored = sum(part.numel() for part in parts) + 4 * self.output_positions.numel()
        return 8 * stored / self.sign_mantissa.numel()


def compress(weight: torch.Tensor) -> DFloat11:
    """A weight in bfloat16, compressed; `decompress` gives every bit back. Raises ValueError."""
    if weight.dtype != torch.bfloat16 or not weight.numel():
        raise ValueError(f"the weight must be bfloat16 and not empty, got {weight.dtype}")
    bits = weight.detach().cpu().contiguous().view(torch.int16)
    exponents = (bits >> 7 & 255).flatten().long()
    sign_mantissa = (bits >> 8 & 128 | bits & 127).to(torch.uint8)
    lengths = code_lengths(exponents.bincount(minlength=EXPONENTS))
    codes = canonical_codes(lengths)
    stream, gaps, positions = laid_out(codes, lengths, exponents)
    return DFloat11(stream, sign_mantissa, gaps, positions, lengths)


def laid_out(codes, lengths, exponents) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes and their lengths, (256,), and exponents, (N,) -> bit stream, gaps, positions"""
    sizes = lengths.long()[exponents]
    ends = sizes.cumsum(0)
    begins, total = ends - sizes, int(ends[-1])
    stream = _stream(codes[exponents], sizes, begins, total)
    # the first code that begins in each piece, or behind it
    pieces = -(-len(stream) // PIECE)
    first = torch.searchsorted(begins, torch.arange(pieces) * PIECE * 8)
    at = torch.cat([begins, begins.new_tensor([total])])[first] - torch.arange(pieces) * PIECE * 8
    positions = torch.cat([first[::PIECES], first.new_tensor([len(exponents)])])
    return stream, _in_fives(at), positions


def decompress(packed: DFloat11, codes: torch.Tensor | None = None) -> torch.Tensor:
    """The weight as it was, in bfloat16: all pieces side by side, code after code

    codes: (256,), of a writer whose codes are others than `canonical_codes` of their lengths.
    """
    table = canonical_codes(packed.lengths) if codes is None else codes
    count, codes = packed.sign_mantissa.numel(), _Codes(table, packed.lengths)
    pieces = -(-len(packed.encoded_exponent) // PIECE)
    bits = _from_fives(packed.gaps, pieces)
    begin = torch.arange(pieces) * PIECE * 8
    filled = torch.cat([packed.encoded_exponent, packed.encoded_exponent.new_zeros(2 * PIECE)])
    steps = []
    live = torch.ones(pieces, dtype=torch.bool)
    while live.any():
        exponent, size = codes.read(filled, begin + bits)
        steps.append(torch.where(live, exponent, -1).to(torch.int16))
        bits = torch.where(live, bits + size, bits)
        live = live & (bits < PIECE * 8)
    in_order = torch.stack(steps, dim=1).flatten()
    exponents = in_order[in_order >= 0][:count]  # bits behind the last code only fill its byte
    if len(exponents) < count:
        raise ValueError(f"the codes end after {len(exponents):,} of {count:,} numbers")
    rest = packed.sign_mantissa.flatten().short()
    weight = (rest & 128) << 8 | exponents << 7 | rest & 127
    return weight.view(torch.bfloat16).view(packed.sign_mantissa.shape)


# --- Huffman's codes


def code_lengths(counts: torch.Tensor) -> torch.Tensor:
    """How often each exponent occurs, (256,), as bits of its code; 0 where it does not occur

    The two rarest are joined until one is left; each joining makes the codes of both a bit longer.
    """
    heap = [(n, symbol, (symbol,)) for symbol, n in enumerate(counts.tolist()) if n]
    lengths = [0] * EXPONENTS
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
    heapq.heapify(heap)
    while len(heap) > 1:
        (n, symbol, ours), (m, _, theirs) = heapq.heappop(heap), heapq.heappop(heap)
        for longer in ours + theirs:
            lengths[longer] += 1
        heapq.heappush(heap, (n + m, symbol, ours + theirs))
    if max(lengths) > LONGEST:
        raise ValueError(f"codes must be of at most {LONGEST} bits, got {max(lengths)}")
    return torch.tensor(lengths, dtype=torch.uint8)


def canonical_codes(lengths: torch.Tensor) -> torch.Tensor:
    """Codes of these lengths, (256,): shorter ones first, then in the order of the exponents"""
    codes, code, before = torch.zeros(EXPONENTS, dtype=torch.int64), 0, 0
    for size, symbol in sorted((n, symbol) for symbol, n in enumerate(lengths.tolist()) if n):
        code <<= size - before
        codes[symbol] = code
        code, before = code + 1, size
    return codes


class _Codes:
    """Reads one code at each of many places of a stream."""

    def __init__(self, codes: torch.Tensor, lengths: torch.Tensor):
        symbols = lengths.nonzero().flatten()
        sizes = lengths.long()[symbols]
        # No code begins another: a window of 32 bits starts with the code that, filled up with
        # zeros, is the last one not above it.
        self.first, order = (codes[symbols] << LONGEST - sizes).sort()
        self.sizes, self.symbols = sizes[order], symbols[order]

    def read(self, stream: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Bytes and places in bits -> the exponent at each place, and how many bits its code has"""
        byte = at >> 3
        window = torch.zeros_like(at)
        for i in range(5):  # 40 bits, of which 32 begin at the place
            window = window << 8 | stream[byte + i]
        window = window >> 8 - (at & 7) & (1 << LONGEST) - 1
        place = torch.searchsorted(self.first, window, right=True) - 1
        return self.symbols[place], self.sizes[place]


def _stream(codes, sizes, begins, total: int) -> torch.Tensor:
    """Codes one after the other, the first bit the highest of its byte, filled up with zeros"""
    stream = torch.zeros(-(-total // 8) * 8, dtype=torch.uint8)
    for bit in range(int(sizes.max())):
        has = sizes > bit
        stream[begins[has] + bit] = (codes[has] >> sizes[has] - 1 - bit & 1).to(torch.uint8)
    return (stream.view(-1, 8) << torch.arange(7, -1, -1)).sum(1).to(torch.uint8)


def _in_fives(numbers: torch.Tensor) -> torch.Tensor:
    bits = (numbers.unsqueeze(1) >> torch.arange(4, -1, -1) & 1).flatten()
    bits = torch.cat([bits, bits.new_zeros(-len(bits) % 8)])
    return (bits.view(-1, 8) << torch.arange(7, -1, -1)).sum(1).to(torch.uint8)


def _from_fives(packed: torch.Tensor, count: int) -> torch.Tensor:
    bits = (packed.long().unsqueeze(1) >> torch.arange(7, -1, -1) & 1).flatten()[: 5 * count]
    return (bits.view(-1, 5) << torch.arange(4, -1, -1)).sum(1)

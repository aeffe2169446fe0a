"""DFloat11: every bit comes back, in 11 bits a weight for trained weights; Huffman's codes."""

import heapq
from pathlib import Path

import pytest
import torch
from helpers.single_files import POCKET, loaded
from safetensors.torch import load_file

from qwenimage_ref.formats.dfloat11 import (
    PIECE,
    PIECES,
    DFloat11,
    canonical_codes,
    code_lengths,
    compress,
    decompress,
    laid_out,
)

BF16 = torch.bfloat16
# encode_weights([weight], codec, 8, 512) of dfloat11 0.5.0 with dahuffman 0.4.2; the weight is
# gaussian(300, 150), and the table of codes is stored beside what they made of it
PUBLISHED = Path(__file__).parents[1] / "golden" / "dfloat11.safetensors"


def gaussian(*shape) -> torch.Tensor:
    return (0.02 * torch.randn(shape, generator=torch.Generator().manual_seed(0))).to(BF16)


def every_bit(weight) -> torch.Tensor:
    return weight.view(torch.int16)


WEIGHTS = {
    "normal numbers": gaussian(300, 200),
    "as many pieces as need a second position": gaussian(800, 64),
    "one number": torch.tensor([[-1.5]], dtype=BF16),
    "numbers of one exponent": torch.linspace(1, 1.9, 77).to(BF16),
    "zeros, infinities and NaN": torch.tensor(
        [0.0, -0.0, torch.inf, -torch.inf, torch.nan], dtype=BF16
    ),
    "all 65,536 numbers": torch.arange(1 << 16).to(torch.uint16).view(BF16),
    "exponents that halve from one to the next": torch.cat(
        [torch.full((1 << 12 - i,), 2.0**i) for i in range(13)]
    ).to(BF16),
}


@pytest.mark.parametrize("what", WEIGHTS)
def test_every_bit_of_a_weight_comes_back(what):
    weight = WEIGHTS[what]
    again = decompress(compress(weight))
    assert again.shape == weight.shape and torch.equal(every_bit(again), every_bit(weight))


def test_the_pocket_transformer_takes_eleven_bits_a_weight_and_comes_back():
    mmdit = loaded(POCKET, "transformer")
    numbers = bits = 0
    for name in ("0.attn.to_q", "3.img_mlp.net.0.proj", "7.txt_mod.1"):
        weight = mmdit.get_submodule(f"transformer_blocks.{name}").weight.data.to(BF16)
        packed = compress(weight)
        assert torch.equal(every_bit(decompress(packed)), every_bit(weight))
        numbers, bits = numbers + weight.numel(), bits + packed.bits * weight.numel()
    assert 10.3 < bits / numbers < 11.1


def test_the_codes_are_as_short_as_huffman_s():
    counts = torch.zeros(256, dtype=torch.int64)
    counts[100:130] = torch.arange(1, 31) ** 3
    heap, joined = counts[counts > 0].tolist(), 0
    heapq.heapify(heap)
    while len(heap) > 1:  # the sum of all joinings is the length of the stream
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        joined += pair
        heapq.heappush(heap, pair)
    assert (code_lengths(counts).long() * counts).sum() == joined


def test_no_code_begins_another():
    lengths = code_lengths(torch.arange(256) ** 2)
    codes = canonical_codes(lengths)
    words = [f"{c:0{n}b}" for c, n in zip(codes.tolist(), lengths.tolist()) if n]
    assert len(words) == 255
    assert not any(b.startswith(a) for a, b in zip(sorted(words), sorted(words)[1:]))


def test_where_a_piece_begins_is_noted_for_each_and_how_many_numbers_came_before_for_512():
    packed = compress(gaussian(800, 64))
    pieces = -(-len(packed.encoded_exponent) // PIECE)
    assert len(packed.gaps) == -(-5 * pieces // 8)
    positions = packed.output_positions.tolist()
    assert len(positions) == -(-pieces // PIECES) + 1
    assert positions[0] == 0 and positions[-1] == 800 * 64 and positions == sorted(positions)


def test_codes_that_would_be_longer_than_32_bits_are_refused():
    fibonacci = [1, 1]
    while len(fibonacci) < 40:
        fibonacci.append(sum(fibonacci[-2:]))
    counts = torch.zeros(256, dtype=torch.int64)
    counts[:40] = torch.tensor(fibonacci)
    with pytest.raises(ValueError, match="codes must be of at most 32 bits, got 39"):
        code_lengths(counts)


@pytest.mark.parametrize("weight", [torch.ones(2), torch.ones(0, dtype=BF16)])
def test_only_numbers_in_bfloat16_are_compressed(weight):
    with pytest.raises(ValueError, match="the weight must be bfloat16 and not empty, got"):
        compress(weight)


def test_a_stream_that_ends_early_is_refused():
    packed = compress(gaussian(20, 20))
    short = type(packed)(**vars(packed) | {"encoded_exponent": packed.encoded_exponent[:64]})
    with pytest.raises(ValueError, match="the codes end after .* of 400 numbers"):
        decompress(short)


@pytest.fixture(scope="module")
def published():
    return load_file(PUBLISHED)


def test_codes_are_laid_out_as_by_the_publisher(published):
    exponents = (gaussian(300, 150).view(torch.int16) >> 7 & 255).flatten().long()
    stream, gaps, positions = laid_out(published["codes"], published["sizes"], exponents)
    used = int(published["sizes"].long()[exponents].sum())
    theirs = published["encoded_exponent"]
    assert len(stream) == len(theirs) and torch.equal(stream[:-1], theirs[:-1])
    # the last byte is filled up with zeros here, and with an end mark there
    filled = -used % 8
    assert stream[-1] >> filled == theirs[-1] >> filled
    assert torch.equal(positions, published["output_positions"])
    # theirs have gaps of zero for the rest of the last 512 pieces
    whole = len(gaps) - 1
    assert torch.equal(gaps[:whole], published["gaps"][:whole])
    assert gaps[whole] == published["gaps"][whole]
    assert not published["gaps"][whole + 1 :].any()


def test_what_the_publisher_compressed_comes_back(published):
    weight = gaussian(300, 150)
    packed = DFloat11(
        published["encoded_exponent"],
        published["sign_mantissa"].view(300, 150),
        published["gaps"],
        published["output_positions"],
        published["sizes"],
    )
    assert torch.equal(every_bit(decompress(packed, published["codes"])), every_bit(weight))


def test_codes_take_no_more_than_the_publisher_s_whose_end_mark_needs_one(published):
    exponents = (gaussian(300, 150).view(torch.int16) >> 7 & 255).flatten().long()
    lengths = code_lengths(exponents.bincount(minlength=256)).long()
    assert 0 <= int((published["sizes"].long() - lengths)[exponents].sum()) <= 14

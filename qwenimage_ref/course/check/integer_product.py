"""A product of quantised blocks: what chapter 21 asks for, and the slips that it names."""

import torch

from ...formats import gguf_blocks
from .common import NotYet, demand_shape, need, need_none, numbers, wrong_here

_SIZES = ((5, 96, 4), (2, 160, 7), (3, 32, 6), (4, 64, 1))  # rows of inputs, inputs, outputs


def check_product(multiply) -> None:
    """NotYet where multiply(x (N, in), rows (out, 18 in / 32)) is not the product of the blocks."""
    for seed, (count, width, out) in enumerate(_SIZES):
        x, rows = _case(count, width, out, seed)
        words = f"of {count} rows of inputs times {out} outputs"
        given, right = _product_of(multiply, x, rows), _right(x, rows)
        demand_shape(given, (count, out), words)
        need(
            given.dtype == torch.float32,
            f"the inputs are float32, and so is the result; yours is {given.dtype}",
        )
        need_none(given, wrong_here(_SLIPS, right, _near, x, rows), _near, x, rows)
        need(
            _near(given, right),
            f"for {width} inputs and {out} outputs it is another product; take one row and one "
            "output, and write down the sum of each block and its two scales",
        )
    x, rows = _case(3, 64, 2, seed=9)
    x[1, 32:], x[2] = 0, 0
    given = _product_of(multiply, x, rows)
    need(
        bool(given.isfinite().all()),
        "a block of zeros has the scale 0, and 0 / 0 is not a number; such a block stays zero",
    )
    need(_near(given, _right(x, rows)), "where a block of inputs is zero it is another product")


def _product_of(multiply, x, rows):
    try:
        return multiply(x, rows)
    except NotImplementedError:  # a RuntimeError, too, that says that nothing is written yet
        raise
    except (RuntimeError, IndexError, ValueError) as error:
        raise NotYet(
            f"for inputs of {tuple(x.shape)} and bytes of {tuple(rows.shape)} it stops; 32 inputs "
            f"meet 18 bytes: {error}"
        ) from None


def _case(count: int, width: int, out: int, seed: int):
    """Inputs and Q4_0 bytes whose blocks differ in size by far"""
    x, weight = numbers(count, width, seed=seed), numbers(out, width, seed=seed + 10)
    for tensor, more in ((x, 0), (weight, 1)):
        tensor *= (2 * numbers(width // 32, seed=seed + 20 + more)).exp().repeat_interleave(32)
    return x, gguf_blocks.encode(weight, "Q4_0")


def _right(x, rows):
    """By the package: both sides decoded, multiplied in float64"""
    inputs = gguf_blocks.decode(gguf_blocks.encode(x, "Q8_0"), "Q8_0")
    return (inputs.double() @ gguf_blocks.decode(rows, "Q4_0").double().T).float()


def _near(a, b) -> bool:
    """Whether two products differ by the rounding of float32 at most"""
    return a.shape == b.shape and bool(((a - b).abs() <= 2e-6 * b.abs().max()).all())


def _slip(
    exact=False, largest=127, to=torch.round, half=True, over="block", signed=True, own=True,
    order="halves", shift=8, unsigned=False, wrap=False, by_d=True, by_scale=True, late=False,
):  # fmt: skip
    """The product with one thing done otherwise"""

    def multiply(x, rows):
        d, q = _weights(rows, order, shift, unsigned)
        parts = x.unflatten(1, (-1, 32))
        size = parts.abs() if signed else parts
        most = size.amax({"block": -1, "row": (1, 2), "all": (0, 1, 2)}[over], keepdim=True)
        scale = (most / largest).expand(*parts.shape[:2], 1)
        kept = scale.half().float() if half else scale
        whole = parts / kept if exact else to(parts / (scale if own else kept))
        products = torch.einsum("nbi,obi->nobi", whole, q)
        products = products.long().to(torch.int8).float() if wrap else products
        sums, kept = products.sum(-1), kept[..., 0] if by_scale else torch.ones(parts.shape[:2])
        d = d if by_d else torch.ones_like(d)
        if late:
            return sums.sum(-1) * kept.mean(1, keepdim=True) * d.mean(1)
        return torch.einsum("nob,nb,ob->no", sums, kept, d)

    return multiply


def _weights(rows, order: str, shift: int, unsigned: bool):
    """(out, 18 b) -> scales (out, b), integers (out, b, 32) as floats"""
    blocks = rows.unflatten(1, (-1, 18))
    low, high = blocks[..., 2:] & 15, blocks[..., 2:] >> 4
    q = torch.stack([high, low] if order == "exchanged" else [low, high], dim=-1)
    q = (q if order == "neighbours" else q.transpose(-1, -2)).flatten(-2)
    q = (q - shift).float() if unsigned else q.float() - shift
    return blocks[..., :2].contiguous().view(torch.float16)[..., 0].float(), q


_SLIPS = [
    (_slip(exact=True), "that is the product with the inputs as they are; they have to be "
     "rounded as well, or there is nothing to sum in integers"),
    (_slip(half=False), "the scales of the inputs have more bits than a file would keep: a "
     "float16 holds each"),
    (_slip(own=False), "you divide by the scale after it was rounded to float16; divide by the "
     "scale itself, and round it for the product alone"),
    (_slip(largest=128), "the largest input of a block becomes 128, which a signed byte does not "
     "have; it should become 127"),
    (_slip(largest=7), "the inputs have as few bits as the weights; theirs are 8"),
    (_slip(to=torch.trunc), "the inputs are cut off towards zero; round them to the nearest"),
    (_slip(to=torch.floor), "the inputs are rounded down; round them to the nearest"),
    (_slip(signed=False), "the largest of a block may be negative; its magnitude counts"),
    (_slip(over="row"), "one scale for a whole row of inputs; every 32 have their own"),
    (_slip(over="all"), "one scale for all inputs; every 32 of a row have their own"),
    (_slip(shift=0), "the weights all have the sign of their scale; their integers are stored "
     "shifted, so that the middle of their range means zero"),
    (_slip(unsigned=True), "a byte has no sign, and what is below zero became large: convert "
     "before you subtract"),
    (_slip(order="neighbours"), "two halves of a byte are sixteen inputs apart, not neighbours"),
    (_slip(order="exchanged"), "the first sixteen weights lie in the lower halves of the bytes"),
    (_slip(wrap=True), "products of two bytes do not fit into a byte, and wrapped round; sum them "
     "in a wider type"),
    (_slip(by_d=False), "the scales of the weights are missing"),
    (_slip(by_scale=False), "the scales of the inputs are missing"),
    (_slip(late=True), "blocks were added before they were scaled; each has its own two scales"),
]  # fmt: skip

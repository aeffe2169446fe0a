"""Precision: a linear layer of quantised blocks, its integers and its scales."""

from .drawing import Drawing
from .sizes import Sizes, rows

LEFT, MIDDLE, RIGHT = 100, 192, 284  # middles of columns
BLOCK, BYTES = 32, 18  # weights in a block of Q4_0, and its bytes


def quantised_linear() -> Drawing:
    """Inputs and weights as blocks of integers; sums of integers, and the scales after them"""
    drawing = Drawing("A linear layer of quantised blocks")
    drawing.write(LEFT, 14, "x (I, D), float32")
    drawing.write(RIGHT, 14, "weight (D, 18 b), bytes")
    drawing.bar(RIGHT - 72, 24, 30, 24, "d", "accent")
    drawing.bar(RIGHT - 42, 24, 114, 24, "32 q, 4 bits each", "text")
    drawing.write(RIGHT - 57, 62, "2")
    drawing.write(RIGHT + 15, 62, "16 bytes")
    quantise = drawing.box(LEFT, 90, 150, "quantise\nd = largest / 127", "noise")
    unpack = drawing.box(RIGHT, 90, 150, "take apart\nhalves of bytes, less 8", "text")
    drawing.wire((LEFT, 20), (LEFT, quantise.top))
    drawing.wire((RIGHT + 15, 68), (RIGHT + 15, unpack.top))
    product = drawing.box(
        MIDDLE, unpack.bottom + 46, 230, "sum of integers\n32 products for each block", "joint"
    )
    for x, words in ((LEFT + 6, "q (I, b, 32)"), (RIGHT - 6, "q (D, b, 32)")):
        drawing.wire((x, unpack.bottom), (x, product.top))
        drawing.write(*_beside(x, unpack.bottom + 26), words, anchor=_side(x))
    scale = drawing.box(
        MIDDLE, product.bottom + 40, 230, "scale\ntimes d of inputs, d of weights", "accent"
    )
    drawing.wire((MIDDLE, product.bottom), (MIDDLE, scale.top), label="(I, D, b), int32")
    for x, edge, end, words in (
        (38, LEFT - 62, scale.left, "d (I, b)"),
        (346, RIGHT + 62, scale.right, "d (D, b)"),
    ):
        drawing.wire((x, unpack.bottom), (x, scale.y), (end, scale.y))
        drawing.write(edge, scale.bottom + 14, words)
    total = drawing.box(MIDDLE, scale.bottom + 40, 230, "sum over b, add bias\nfloat32", "image")
    drawing.wire((MIDDLE, scale.bottom), (MIDDLE, total.top), label="(I, D, b)")
    drawing.wire((MIDDLE, total.bottom), (MIDDLE, total.bottom + 24))
    drawing.write(MIDDLE, total.bottom + 38, "y (I, D)")
    drawing.legend(rows(
        "I", "D",
        b=("blocks of a row of weights", lambda sizes: _width(sizes) // BLOCK),
        Q4_0=("bytes of the weight", _packed),
        bf16=("bytes of the weight", lambda sizes: 2 * _width(sizes) ** 2),
    ))  # fmt: skip
    return drawing


def _beside(x: float, y: float) -> tuple[float, float]:
    return (x + 6 if x < MIDDLE else x - 6), y


def _side(x: float) -> str:
    return "start" if x < MIDDLE else "end"


def _width(sizes: Sizes) -> int:
    return sizes.transformer.inner_dim


def _packed(sizes: Sizes) -> int:
    return _width(sizes) ** 2 // BLOCK * BYTES

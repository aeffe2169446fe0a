"""How a rotated and rounded layer computes the same product as the layer itself."""

from ...pocket.train import POCKET_MMDIT
from .drawing import Drawing

LEFT, RIGHT, MIDDLE = (
    98,
    286,
    192,
)  # middles of the weight's column, of the input's, of their product


def rotated_layer() -> Drawing:
    """Weight and input are rotated by one matrix, which leaves their product as it was"""
    drawing = Drawing("A layer in ConvRot")
    drawing.write(LEFT, 16, "in the file", name=True)
    drawing.write(RIGHT, 16, "in each step", name=True)
    stored = drawing.box(LEFT, 30, 150, "int8 (out, in)\nof W Hᵀ", "accent")
    scale = drawing.box(LEFT, stored.bottom + 36, 150, "× scale\none for all, or a row", "noise")
    drawing.wire((LEFT, stored.bottom), (LEFT, scale.top), label="bytes")
    drawing.write(RIGHT, 44, "x (B, S, in)")
    turn = drawing.box(RIGHT, scale.top, 150, "H in groups of n\nx → H x", "text")
    drawing.wire((RIGHT, 50), (RIGHT, turn.top))
    product = drawing.box(MIDDLE, scale.bottom + 52, 190, "product\n(W Hᵀ)(H x) = W x", "joint")
    for x, box, words in (
        (MIDDLE - 70, scale, "rounded W Hᵀ"), (MIDDLE + 70, turn, "H x (B, S, in)")
    ):  # fmt: skip
        drawing.wire((x, box.bottom), (x, product.top))
        anchor, at = ("end", x - 6) if x < MIDDLE else ("start", x + 6)
        drawing.write(at, box.bottom + 24, words, anchor=anchor)
    drawing.wire((MIDDLE, product.bottom), (MIDDLE, product.bottom + 32), label="y (B, S, out)")
    width = POCKET_MMDIT.inner_dim
    drawing.legend([
        ("in", "width of to_q's input", 3072, width),
        ("n", "neighbours turned together", 256, 64),
    ])  # fmt: skip
    return drawing

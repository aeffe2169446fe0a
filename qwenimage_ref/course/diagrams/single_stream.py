"""A block of Qwen-Image-2.1 with its one stream, its shared modulation and its cache."""

from .drawing import Drawing

MIDDLE, WIDE = 150, 216  # middle of the stream, width of the boxes


def single_stream_block() -> Drawing:
    """One block: attention with cached keys and values, then the gated MLP"""
    drawing = Drawing("A block of Qwen-Image-2.1")
    drawing.write(MIDDLE, 14, "x (B, S, D): text, condition images, target")
    first = drawing.column(MIDDLE, 34, WIDE, [
        ("LayerNorm, × (1 + scale)", "accent", "(B, S, D)"),
        ("attention\nblock-causal", "joint", "(B, S, D)"),
        ("× tanh(gate)", "accent", ""),
    ], gap=32)  # fmt: skip
    drawing.wire((MIDDLE, 20), (MIDDLE, first[0].top))
    attention = first[1]
    drawing.write(370, attention.y - 8, "keys, values", anchor="end")
    drawing.write(370, attention.y + 16, "cached", anchor="end")
    drawing.wire((370, attention.y), (attention.right, attention.y))
    plus = _added(drawing, first[-1], 26)
    second = drawing.column(MIDDLE, plus.bottom + 28, WIDE, [
        ("LayerNorm, × (1 + scale)", "accent", "(B, S, D)"),
        ("SwiGLU\n3 D wide, gated", "image", "(B, S, D)"),
        ("× tanh(gate)", "accent", ""),
    ], gap=32)  # fmt: skip
    drawing.wire((MIDDLE, plus.bottom), (MIDDLE, second[0].top))
    last = _added(drawing, second[-1], plus.bottom + 10)
    drawing.wire(
        (MIDDLE, last.bottom), (MIDDLE, last.bottom + 26), label="to the next of 32 blocks"
    )
    drawing.write(MIDDLE, last.bottom + 48, "scales and gates: one set for all blocks")
    drawing.legend([
        ("S", "tokens of the sequence", "", ""),
        ("D", "width of the stream", 4096, ""),
    ])  # fmt: skip
    return drawing


def _added(drawing: Drawing, box, top: float):
    """The stream itself, led around its branch from `top` and added below `box`"""
    plus = drawing.join(MIDDLE, box.bottom + 28, "+")
    drawing.wire((MIDDLE, box.bottom), (MIDDLE, plus.top))
    drawing.wire((MIDDLE, top), (20, top), (20, plus.y), (plus.left, plus.y))
    return plus

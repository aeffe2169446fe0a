"""MSRoPE: where the tokens lie, and which part of a head turns with which axis."""

from ...rope import positions
from .drawing import Drawing
from .sizes import official, pocket, rows

CELL = 22  # pixels of a token
ORIGIN = (140, 138)  # where row 0 and column 0 meet
WORDS = 5  # text tokens that are drawn


def token_layout() -> Drawing:
    """The pocket model's 8 × 8 tokens around the middle, the text on the diagonal behind them"""
    drawing = Drawing("Where MSRoPE puts the tokens")
    side = pocket().side // 16
    img, txt = positions([(1, side, side)], WORDS)
    left, top = (axis + CELL * img[0, 1].item() for axis in ORIGIN)
    for _, row, col in img.tolist():
        _cell(drawing, row, col, "", "image")
    for n, (_, row, col) in enumerate(txt.tolist()):
        _cell(drawing, row, col, str(n), "text")
    for at in range(-side // 2, side // 2 + WORDS):
        drawing.write(ORIGIN[0] + CELL * (at + 0.5), top - 6, str(at).replace("-", "−"))
        drawing.write(
            left - 6, ORIGIN[1] + CELL * (at + 0.5) + 4, str(at).replace("-", "−"), anchor="end"
        )
    drawing.write(left, top - 24, "column →", anchor="start")
    drawing.write(left - 6, top - 6, "row ↓", anchor="end")
    drawing.write(274, 90, "image, frame 0", anchor="start")
    drawing.write(212, 320, "text: frame = row = column", anchor="end")
    _head(drawing, 376)
    drawing.legend(rows("K"))
    return drawing


def _cell(drawing, row, col, words, role):
    drawing.bar(ORIGIN[0] + CELL * col, ORIGIN[1] + CELL * row, CELL, CELL, words, role)


def _head(drawing, top):
    """The dims of one head, drawn to scale, by the axis that turns them"""
    drawing.write(14, top - 10, "which numbers of a head turn with which axis", anchor="start")
    for n, (name, sizes) in enumerate((("official", official()), ("pocket", pocket()))):
        axes = sizes.transformer.axes_dims_rope
        left, y = 76, top + 36 * n
        drawing.write(14, y + 17, name, anchor="start")
        for axis, dims, role in zip(("frame", "row", "column"), axes, ("noise", "joint", "accent")):
            width = 290 * dims / sum(axes)
            words = f"{axis} {dims}" if axis != "frame" else str(dims)
            drawing.bar(left, y, width, 26, words, role)
            left += width

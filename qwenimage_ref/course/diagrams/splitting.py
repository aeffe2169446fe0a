"""How one weight is shared by processes, gathered for a while, and trained in its shares."""

from .drawing import Drawing

LEFT, RIGHT, MIDDLE = 98, 286, 192  # middles of the two processes, and of what they do together


def sharded_step() -> Drawing:
    """Two of P processes in one step: gather, compute, scatter, update"""
    drawing = Drawing("A step of sharded training")
    for x, number in ((LEFT, "first"), (RIGHT, "last")):
        drawing.write(x, 16, f"{number} of P processes", name=True)
    shares = [drawing.box(x, 30, 150, "its share\n(n / P, m)", "joint") for x in (LEFT, RIGHT)]
    gather = drawing.box(MIDDLE, shares[0].bottom + 30, 340, "all-gather", "noise")
    whole = _both(drawing, gather, "whole weight (n, m)\nfor one block, for a while", "joint")
    passes = [
        drawing.box(box.x, box.bottom + 44, 170, "forward, backward\nof its own pictures", "image")
        for box in whole
    ]
    scatter = drawing.box(MIDDLE, passes[0].bottom + 44, 340, "reduce-scatter", "noise")
    updates = _both(drawing, scatter, "AdamW\nof its share alone", "accent")
    for share, box, turn, update in zip(shares, whole, passes, updates):
        drawing.wire((share.x, share.bottom), (share.x, gather.top))
        drawing.wire((box.x, box.bottom), (turn.x, turn.top))
        drawing.write(box.x + 6, box.bottom + 25, "pictures (B / P)", anchor="start")
        drawing.wire((turn.x, turn.bottom), (turn.x, scatter.top), label="gradient (n, m)")
        drawing.write(update.x + 6, scatter.bottom + 24, "mean (n / P, m)", anchor="start")
    drawing.legend([
        ("n", "rows of img_mod's weight", 18_432, 1152),
        ("m", "its columns", 3072, 192),
        ("P", "processes", "8 or 64", 2),
    ])  # fmt: skip
    return drawing


def _both(drawing: Drawing, common, lines: str, role: str):
    """A box for each process below what they do together"""
    boxes = [drawing.box(x, common.bottom + 38, 170, lines, role) for x in (LEFT, RIGHT)]
    for box in boxes:
        drawing.wire((box.x, common.bottom), (box.x, box.top))
    return boxes

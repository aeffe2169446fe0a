"""Where each variant of the ablation study differs: in the network, its training, its sampling."""

from . import sizes
from .drawing import Drawing

MIDDLE, WIDE, BESIDE = 104, 176, 208  # middle of the column, width, left edge of the names
STEPS = (  # (lines of the box, role, shape on the wire below it, variants that differ there)
    ("caption", "text", "(B, T)", ("no caption dropout",)),
    ("text tower", "text", "(B, T, Dt)", ("words alone",)),
    ("positions\nof text and picture", "joint", "(B, T + I, D)",
     ("text at the origin", "text in a row")),
    ("L blocks\nQK-norm, two MLPs", "joint", "velocity (B, I, 64)",
     ("no QK-norm", "one MLP", "usual start")),
    ("loss at sigma", "noise", "gradient", ("sigma unshifted", "sigma uniform")),
    ("Muon and AdamW\na rate that falls", "accent", "weights",
     ("AdamW", "constant rate", "small pictures first")),
    ("average", "accent", "averaged weights",
     ("no average",)),
    ("sampler\nguided, rescaled", "image", "",
     ("no guidance", "no norm rescale", "sampler unshifted")),
)  # fmt: skip


def choices() -> Drawing:
    """From a caption to a picture: the choices, and the variant that goes without each"""
    drawing = Drawing("What each variant changes")
    boxes = drawing.column(MIDDLE, 24, WIDE, [step[:3] for step in STEPS], gap=34)
    drawing.write(BESIDE, 14, "variants", name=True, anchor="start")
    for box, (*_, names) in zip(boxes, STEPS):
        first = box.y - 7.5 * (len(names) - 1) + 4
        drawing.wire((BESIDE - 6, box.y), (box.right, box.y))
        for n, name in enumerate(names):
            drawing.write(BESIDE, first + 15 * n, name, anchor="start")
    drawing.legend(sizes.rows("T", "I", "Dt", "D", "L"))
    return drawing

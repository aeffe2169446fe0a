"""LoRA: the branch beside one linear layer, and the layers of a block that have one."""

from .drawing import Drawing
from .sizes import rows

LEFT, MIDDLE, RIGHT = 98, 192, 286  # middles of columns
LINEARS = (  # layers of the image and of the text in the order of a block, and their sizes
    ("img_mod.1", "txt_mod.1", "D → 6 D, no pair"),
    ("to_{q, k, v}", "add_{q, k, v}_proj", "D → D, a pair each"),
    ("to_out.0", "to_add_out", "D → D, a pair"),
    ("img_mlp.net.0.proj", "txt_mlp.net.0.proj", "D → 4 D, a pair"),
    ("img_mlp.net.2", "txt_mlp.net.2", "4 D → D, a pair"),
)
BETWEEN = (
    "norm, modulate",
    "",
    "add, norm, modulate",
    "GELU",
)  # on the way of both streams from layer to layer


def lora_branch() -> Drawing:
    """A frozen layer with its two thin matrices, and where such pairs are in a block"""
    drawing = Drawing("A linear layer with its LoRA pair")
    _branch(drawing)
    _layers(drawing, drawing.height + 26)
    drawing.legend([*rows("D", "L"), ("r", "rank, for example", 64, 8)])
    return drawing


def _branch(drawing) -> None:
    """y = W x + b + scale alpha / r B A x, from top to bottom"""
    drawing.write(MIDDLE, 14, "x (N, in)")
    drawing.wire((MIDDLE, 20), (MIDDLE, 34), arrow=False)
    down, up = drawing.column(
        RIGHT, 54, 150,
        [("down\nA (r, in), random", "accent", "(N, r)"), ("up\nB (out, r), zeros", "accent", "")],
    )  # fmt: skip
    linear = drawing.box(LEFT, 90, 150, "linear layer\nW (out, in), b (out,)\nfrozen", "joint")
    for x, box in ((LEFT, linear), (RIGHT, down)):
        drawing.wire((MIDDLE, 34), (x, 34), (x, box.top))
    times = drawing.join(RIGHT, up.bottom + 42, "×")
    plus = drawing.join(LEFT, times.y, "+")
    drawing.wire((RIGHT, up.bottom), (RIGHT, times.top), label="(N, out)")
    drawing.write(times.right + 6, times.y + 4, "scale α / r", anchor="start")
    drawing.wire((times.left, times.y), (plus.right, times.y))
    drawing.wire((LEFT, linear.bottom), (LEFT, plus.top), label="(N, out)")
    drawing.wire((LEFT, plus.bottom), (LEFT, plus.bottom + 24))
    drawing.write(LEFT, plus.bottom + 38, "y (N, out)")


def _layers(drawing, top) -> None:
    """The linear layers of one block; both streams meet between the second and the third"""
    place, ends = top + 30, {}
    for n, (img, txt, sizes) in enumerate(LINEARS):
        for x, name, role in ((LEFT, img, "image"), (RIGHT, txt, "text")):
            box = drawing.box(x, place, 164, f"{name}\n{sizes}", role)
            if n:
                drawing.wire((x, ends[x]), (x, box.top))
            ends[x] = box.bottom
        if n:
            drawing.write(MIDDLE, box.top - 11, BETWEEN[n - 1])
        place = box.bottom + 30
        if n == 1:
            meet = drawing.box(MIDDLE, place, 352, "joint attention", "joint")
            for x in (LEFT, RIGHT):
                drawing.wire((x, ends[x]), (x, meet.top))
                ends[x] = meet.bottom
            place = meet.bottom + 30
    drawing.frame(8, top, 376, box.bottom + 12, "× L")

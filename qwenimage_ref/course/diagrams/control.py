"""Three ways for a control picture to reach the transformer, and regions with their own prompts."""

from .drawing import Drawing
from .sizes import rows

LEFT, RIGHT = 100, 284  # middles of two columns
WIDE = 156  # pixels, a box of a column


def control_union() -> Drawing:
    """InstantX's kind: a copy of the first blocks runs beside the transformer"""
    drawing = Drawing("A control network that is a copy of the first blocks")
    drawing.write(LEFT, 14, "control picture")
    drawing.write(RIGHT, 14, "x (B, I, 64), text, sigma")
    encode, embed = drawing.column(
        LEFT, 42, WIDE,
        [("vae.encode, pack", "image", "(B, I, 64)"),
         ("x_embedder\nbegins as zeros", "noise", "")],
        gap=34,
    )  # fmt: skip
    drawing.wire((LEFT, 20), (LEFT, encode.top))
    join = drawing.join(LEFT, embed.bottom + 36, "+")
    drawing.wire((LEFT, embed.bottom), (LEFT, join.top))
    drawing.wire((192, 40), (192, join.y), (join.right, join.y))
    drawing.write(200, join.y - 8, "own img_in", anchor="start")
    drawing.wire((RIGHT, 20), (RIGHT, 40), arrow=False)
    drawing.wire((192, 40), (RIGHT, 40), arrow=False)
    drawing.wire((RIGHT, 40), (RIGHT, join.bottom + 22))
    _beside(drawing, join)
    drawing.legend(rows("I", "D"))
    return drawing


def _beside(drawing: Drawing, join) -> None:
    """Two copied blocks below a sum, and the blocks behind which their residuals are added"""
    names, last = ("blocks 0 to 11", "blocks 12 to 23"), None
    for n, name in enumerate(names):
        top = join.bottom + 22 + 104 * n
        copy = drawing.box(LEFT, top, WIDE, f"copy of block {n}", "joint")
        block = drawing.box(RIGHT, top, 124, f"{name}\n+ behind each", "text")
        drawing.wire((LEFT, last[0].bottom if last else join.bottom), (LEFT, top))
        if last:
            drawing.wire((RIGHT, last[1].bottom), (RIGHT, top))
        linear = drawing.box(192, copy.bottom + 24, 92, f"linear {n}", "noise")
        drawing.wire((LEFT, linear.y), (linear.left, linear.y))
        turn = (370, linear.y), (370, block.y)
        drawing.wire((linear.right, linear.y), *turn, (block.right, block.y))
        last = copy, block
    end = last[0].bottom + 74
    for x, box, words in zip((LEFT, RIGHT), last, ("… 5 copies", "… 60 blocks: velocity")):
        drawing.wire((x, box.bottom), (x, end))
        drawing.write(x, end + 16, words)


def control_blockwise() -> Drawing:
    """DiffSynth's kind: two linear layers behind every block"""
    drawing = Drawing("Two linear layers behind every block")
    drawing.write(LEFT, 14, "control picture")
    drawing.write(RIGHT, 14, "img (B, I, D)")
    _, embed = drawing.column(
        LEFT, 42, WIDE,
        [("vae.encode, pack", "image", "(B, I, 64)"),
         ("img_in\nbegins as zeros", "noise", "")],
        gap=34,
    )  # fmt: skip
    drawing.wire((LEFT, 20), (LEFT, 42))
    block = drawing.box(RIGHT, 42, WIDE, "block i\nof the transformer", "text")
    drawing.wire((RIGHT, 20), (RIGHT, block.top))
    drawing.frame(8, 176, 376, 430)
    drawing.write(192, 196, "behind each block")
    norms = [
        drawing.box(x, 214, WIDE, words, "joint")
        for x, words in ((LEFT, "y_rms(y)"), (RIGHT, "x_rms(h)"))
    ]
    drawing.wire((LEFT, embed.bottom), (LEFT, norms[0].top))
    drawing.write(LEFT + 8, 170, "y (B, I, D)", anchor="start")
    drawing.wire((RIGHT, block.bottom), (RIGHT, norms[1].top))
    drawing.write(RIGHT + 8, 170, "h (B, I, D)", anchor="start")
    join = drawing.join(192, 270, "+")
    drawing.wire((LEFT, norms[0].bottom), (LEFT, join.y), (join.left, join.y))
    drawing.wire((RIGHT, norms[1].bottom), (RIGHT, join.y), (join.right, join.y))
    layers = drawing.box(192, 302, 232, "input_proj, GELU, output_proj\nthe last begins as zeros",
                         "noise")  # fmt: skip
    drawing.wire((192, join.bottom), (192, layers.top))
    total = drawing.join(192, 392, "+")
    drawing.wire((192, layers.bottom), (192, total.top), label="× scale")
    drawing.wire((RIGHT, 194), (372, 194), (372, total.y), (total.right, total.y))
    drawing.wire((192, total.bottom), (192, 446))
    drawing.write(192, 460, "img of the next block (B, I, D)")
    drawing.legend(rows("I", "D", "L"))
    return drawing


def control_in_context() -> Drawing:
    """The picture's tokens stand behind the target's, and a LoRA has learned what they mean"""
    drawing = Drawing("The control picture in the sequence")
    drawing.bar(12, 40, 84, 30, "text", "text")
    drawing.bar(100, 40, 132, 30, "target, frame 0", "noise")
    drawing.bar(236, 40, 136, 30, "control, frame 1", "image")
    for x, words in ((54, "(B, T, Dt)"), (166, "(B, I, 64)"), (304, "(B, I, 64)")):
        drawing.write(x, 30, words)
    blocks = drawing.box(192, 104, 344, "all blocks, with a LoRA\nevery token sees every other",
                         "joint")  # fmt: skip
    for x in (54, 166, 304):
        drawing.wire((x, 70), (x, blocks.top))
    last = drawing.box(140, blocks.bottom + 30, 156, "norm_out, proj_out", "text")
    drawing.wire((140, blocks.bottom), (140, last.top))
    drawing.wire((304, blocks.bottom), (304, blocks.bottom + 28))
    drawing.write(304, blocks.bottom + 42, "thrown away")
    drawing.wire((140, last.bottom), (140, last.bottom + 24))
    drawing.write(140, last.bottom + 38, "velocity of the target (B, I, 64)")
    drawing.legend(rows("T", "I", "Dt"))
    return drawing


def regions() -> Drawing:
    """EliGen: every region's prompt is encoded separately, and a mask says who sees whom"""
    drawing = Drawing("Regions with prompts of their own")
    names = ("a red circle", "a blue star", "the whole prompt")
    places, boxes = (72, 192, 312), []
    for x, words in zip(places, names):
        drawing.write(x, 14, words)
        boxes.append(drawing.box(x, 42, 104, "text_encoder", "text"))
        drawing.wire((x, 20), (x, boxes[-1].top))
    for x, words, role in zip(
        places, ("region 1", "region 2", "whole"), ("image", "joint", "text")
    ):
        drawing.bar(x - 58, 112, 116, 28, words, role)
        drawing.wire((x, boxes[0].bottom), (x, 112))
    drawing.write(192, 160, "positions begin again with each text")
    drawing.bar(14, 172, 356, 28, "target's tokens (B, I, 64)", "noise")
    network = drawing.box(192, 234, 332, "transformer\nattention under the mask (S, S)", "joint")
    drawing.wire((192, 200), (192, network.top))
    drawing.wire((192, network.bottom), (192, network.bottom + 24))
    drawing.write(192, network.bottom + 38, "velocity (B, I, 64)")
    drawing.legend(rows("I", "T"))
    return drawing

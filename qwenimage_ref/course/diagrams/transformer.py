"""The MMDiT: its stack, one block, and the joint attention inside."""

from .drawing import Drawing
from .sizes import rows

IMG, TXT = 78, 306  # middles of the two streams
COLUMN = 132  # width of their boxes


def stack() -> Drawing:
    """The whole transformer: three inputs, the blocks, and the way out"""
    drawing = Drawing("The transformer")
    for x, words in ((IMG, "img (B, I, 64)"), (TXT, "txt (B, T, Dt)"), (192, "sigma (B,)")):
        drawing.write(x, 14, words)
    img = drawing.box(IMG, 96, 116, "img_in\nLinear", "image")
    norm, txt = drawing.column(
        TXT, 46, 116, [("txt_norm\nRMSNorm", "text", ""), ("txt_in\nLinear", "text", "")], gap=16
    )
    drawing.wire((IMG, 20), (IMG, img.top))
    drawing.wire((TXT, 20), (TXT, norm.top))
    time = drawing.box(192, 46, 98, "time embed\nwaves, MLP", "noise")
    drawing.wire((192, 20), (192, time.top))
    drawing.frame(8, 166, 376, 362, "× L")
    block = drawing.box(192, 206, 350, "Block\ntwo streams that meet in attention", "joint")
    drawing.wire(
        (IMG, img.bottom), (IMG, block.top), label="(B, I, D)", at=(IMG - 6, 160), anchor="end"
    )
    drawing.wire((TXT, txt.bottom), (TXT, block.top), label="(B, T, D)", at=(TXT + 6, 160))
    drawing.wire((192, time.bottom), (192, block.top), label="temb (B, 1, D)", at=(198, 190))
    after = drawing.box(IMG, 286, 116, "after_block\ncontrol, if any", "accent")
    drawing.wire((IMG, block.bottom), (IMG, after.top), label="(B, I, D)")
    drawing.wire((TXT, block.bottom), (TXT, 384), label="(B, T, D)", at=(TXT + 6, 275))
    drawing.write(TXT, 400, "the text ends here")
    end, out = drawing.column(
        IMG, 396, 116,
        [("norm_out\nnorm, scale, shift", "image", ""), ("proj_out\nLinear", "image", "")],
        gap=22,
    )  # fmt: skip
    drawing.wire((IMG, after.bottom), (IMG, end.top), label="(B, I, D)", at=(IMG + 6, 380))
    drawing.wire((192, block.bottom), (192, end.y), (end.right, end.y), label="temb", at=(198, 384))
    drawing.wire((IMG, out.bottom), (IMG, out.bottom + 26))
    drawing.write(IMG, out.bottom + 40, "velocity (B, I, 64)")
    drawing.legend(rows("I", "T", "D", "Dt", "L"))
    return drawing


def block() -> Drawing:
    """One block: each stream is modulated, attends with the other, and passes its own MLP"""
    drawing = Drawing("One MMDiT block")
    drawing.write(IMG, 14, "img (B, I, D)")
    drawing.write(TXT, 14, "txt (B, T, D)")
    drawing.write(192, 14, "temb (B, 1, D)")
    for x, edge, name, role in ((138, 162, "img_mod", "image"), (246, 222, "txt_mod", "text")):
        drawing.wire((192, 20), (192, 32), (x, 32), (x, 48))
        drawing.wire((edge, 91), (edge, 523), arrow=False)
        drawing.box(x, 48, 96, f"{name}\nSiLU, Linear", role)
    drawing.write(192, 106, "6 ×")
    drawing.write(192, 120, "(B, 1, D)")
    starts = [_modulated(drawing, x, 20, 130) for x in (IMG, TXT)]
    attention = drawing.box(
        192, 212, 356, "joint attention\nover T + I tokens, text first", "joint"
    )
    ends = []
    for x, modulate, shape in zip((IMG, TXT), starts, ("(B, I, D)", "(B, T, D)")):
        drawing.wire((x, modulate.bottom), (x, attention.top), label=shape)
        ends.append(_added(drawing, x, attention.bottom, 110))
    for x, start, name, role in (
        (IMG, ends[0], "img_mlp", "image"),
        (TXT, ends[1], "txt_mlp", "text"),
    ):
        modulate = _modulated(drawing, x, start, 380)
        mlp = drawing.box(x, 454, COLUMN, f"{name}\nD → 4 D → D, GELU", role)
        drawing.wire((x, modulate.bottom), (x, mlp.top))
        end = _added(drawing, x, mlp.bottom, start + 12)
        drawing.wire((x, end), (x, end + 24))
        drawing.write(x, end + 38, f"{name[:3]} (B, {'IT'[x == TXT]}, D)")
    drawing.legend(rows("I", "T", "D"))
    return drawing


def _modulated(drawing, x, start, top):
    """A stream from y = start into its modulated norm, with a tap from the bus of modulations"""
    role, edge, side = ("image", 162, 1) if x == IMG else ("text", 222, -1)
    box = drawing.box(x, top, COLUMN, "modulate\nnorm, scale, shift", role)
    drawing.wire((x, start), (x, top))
    drawing.wire((edge, box.y), (x + side * COLUMN / 2, box.y))
    return box


def _added(drawing, x, start, skipped):
    """A branch from y = start, times its gate, plus the stream as it was at y = skipped"""
    edge, side = (162, 1) if x == IMG else (222, -1)
    gate, plus = drawing.join(x, start + 26, "×"), drawing.join(x, start + 62, "+")
    drawing.wire((x, start), (x, gate.top))
    drawing.wire((edge, gate.y), (x + 10 * side, gate.y))
    drawing.write((edge + x) / 2 + 4 * side, gate.y - 5, "gate")
    drawing.wire((x, gate.bottom), (x, plus.top))
    outer = x - side * (COLUMN / 2 + 7)
    drawing.wire((x, skipped), (outer, skipped), (outer, plus.y), (x - 10 * side, plus.y))
    return plus.bottom


def joint_attention() -> Drawing:
    """Joint attention: own projections for each stream, one softmax over both"""
    drawing = Drawing("Joint attention")
    streams = (
        ("img (B, I, D)", "image", IMG, "to_q, to_k, to_v", "norm_q, norm_k"),
        ("txt (B, T, D)", "text", TXT, "add_{q, k, v}_proj", "norm_added_{q, k}"),
    )
    for words, role, x, projections, norms in streams:
        drawing.write(x, 14, words)
        linear = drawing.box(x, 44, 140, f"{projections}\nLinear, H heads", role)
        drawing.wire((x, 20), (x, 44))
        norm = drawing.box(x - 12, 122, 116, f"RMSNorm\n{norms}", role)
        turn = drawing.box(x - 12, 188, 116, "rotate", role)
        for name, place in (("q", x - 44), ("k", x + 20)):
            drawing.wire((place, linear.bottom), (place, norm.top), label=name)
            drawing.wire((place, norm.bottom), (place, turn.top))
            drawing.wire((place, turn.bottom), (place, 246))
        drawing.wire((x + 58, linear.bottom), (x + 58, 246), label="v", at=(x + 64, 106))
    drawing.write(192, 182, "(B, S, H, K)")
    cat = drawing.box(192, 246, 366, "concatenate the tokens, text first", "joint")
    _rows_of_tokens(drawing, 296)
    for x in (78, 192, 306):
        drawing.wire((x, cat.bottom), (x, 292))
        drawing.wire((x, 324), (x, 356))
    drawing.write(198, 346, "(B, H, T + I, K)", anchor="start")
    core = drawing.box(
        192, 356, 366, "softmax(q kᵀ / √K + mask) v\nall tokens of both streams", "joint"
    )
    for x, name, words, role in (
        (IMG, "to_out", "img (B, I, D)", "image"), (TXT, "to_add_out", "txt (B, T, D)", "text")
    ):  # fmt: skip
        out = drawing.box(x, core.bottom + 34, 110, f"{name}\nLinear", role)
        drawing.wire(
            (x, core.bottom), (x, out.top), label="the last I" if x == IMG else "the first T"
        )
        drawing.wire((x, out.bottom), (x, out.bottom + 24))
        drawing.write(x, out.bottom + 38, words)
    drawing.legend(rows("I", "T", "D", "H", "K"))
    return drawing


def _rows_of_tokens(drawing, top):
    """q, k and v as bars of tokens: text before image"""
    for x, name in ((78, "q"), (192, "k"), (306, "v")):
        drawing.bar(x - 48, top, 32, 24, "T", "text")
        drawing.bar(x - 16, top, 64, 24, f"I of {name}", "image")

"""Networks that see pixels: the VAE and the vision tower."""

from .drawing import Drawing
from .sizes import rows

ENCODER, DECODER, MIDDLE = 92, 280, 192  # middles of columns


def vae() -> Drawing:
    """Encoder and decoder side by side; a box is the wider, the more pixels it works on"""
    drawing = Drawing("The VAE")
    down = [
        (168, "conv_in\n3 × 3", "(C0, H, W)"),
        (168, "2 ResBlocks\nthen stride 2", "(C0, H/2, W/2)"),
        (152, "2 ResBlocks\nthen stride 2", "(2 C0, H/4, W/4)"),
        (140, "2 ResBlocks\nthen stride 2", "(4 C0, h, w)"),
        (130, "2 ResBlocks", "(4 C0, h, w)"),
        (130, "mid_block\nRes, attention, Res", "(4 C0, h, w)"),
        (130, "conv_out\nafter norm, SiLU", "(32, h, w)"),
        (130, "quant_conv\n1 × 1", "2 × (16, h, w)"),
        (130, "normalize\nthe mean", "latents (16, h, w)"),
    ]
    up = [
        (130, "denormalize", "(16, h, w)"),
        (130, "post_quant_conv\n1 × 1", "(16, h, w)"),
        (130, "conv_in\n3 × 3", "(4 C0, h, w)"),
        (130, "mid_block\nRes, attention, Res", "(4 C0, h, w)"),
        (130, "3 ResBlocks\nthen twice as large", "(2 C0, H/4, W/4)"),
        (140, "3 ResBlocks\nthen twice as large", "(2 C0, H/2, W/2)"),
        (152, "3 ResBlocks\nthen twice as large", "(C0, H, W)"),
        (168, "3 ResBlocks", "(C0, H, W)"),
        (168, "conv_out\nafter norm, SiLU", "pixels (3, H, W)"),
    ]
    for x, title, start, steps, role in (
        (ENCODER, "encode", "pixels (3, H, W)", down, "image"),
        (DECODER, "decode", "latents (16, h, w)", up, "joint"),
    ):
        drawing.write(x, 16, title, name=True)
        drawing.write(x, 34, start)
        top, above, label = 62, 40, ""
        for width, lines, shape in steps:
            box = drawing.box(x, top, width, lines, role)
            drawing.wire((x, above), (x, box.top), label=label)
            above, top, label = box.bottom, box.bottom + 28, shape
        drawing.wire((x, above), (x, above + 22))
        drawing.write(x, above + 36, label)
    drawing.legend(rows("H, W", "h, w", C0=("channels", lambda sizes: sizes.vae.base_dim)))
    return drawing


def vision_tower() -> Drawing:
    """Patches of a picture to tokens for the language tower"""
    drawing = Drawing("The vision tower")
    drawing.write(MIDDLE, 14, "patches (N, 1176): 14 × 14 pixels, twice in time, RGB")
    embed, order = drawing.column(
        MIDDLE, 42, 200,
        [("patch_embed\nLinear", "image", "(N, E)"),
         ("window order\n4 × 4 merged tokens a window", "noise", "")],
        gap=28,
    )  # fmt: skip
    drawing.wire((MIDDLE, 20), (MIDDLE, embed.top))
    end = _vision_block(drawing, order)
    merger, back = drawing.column(
        MIDDLE, end.bottom + 40, 200,
        [("merger\n2 × 2 patches, two Linear", "text", "(N/4, Dt)"),
         ("reading order", "noise", "")],
        gap=28,
    )  # fmt: skip
    drawing.wire(
        (MIDDLE, end.bottom), (MIDDLE, merger.top), label="(N, E)", at=(198, merger.top - 8)
    )
    drawing.wire((MIDDLE, back.bottom), (MIDDLE, back.bottom + 24))
    drawing.write(MIDDLE, back.bottom + 38, "image states (N/4, Dt)")
    drawing.legend(rows(
        "Dt",
        N=("patches of the picture", lambda sizes: ""),
        E=("width", lambda sizes: sizes.vision.hidden_size),
        F=("heads", lambda sizes: sizes.vision.num_heads),
        L=("blocks", lambda sizes: sizes.vision.depth),
        R=("of them see the whole", lambda sizes: len(sizes.vision.fullatt_block_indexes)),
    ))  # fmt: skip
    return drawing


def _vision_block(drawing, order):
    """Draw a block of the tower below the box `order`; returns the sum that it ends in."""
    top = order.bottom + 44
    first, attention = drawing.column(
        MIDDLE, top, 246,
        [("norm1\nRMSNorm", "text", ""),
         ("attn, F heads\nin its window; in R blocks, everywhere", "joint", "")],
        gap=20,
    )  # fmt: skip
    drawing.wire((MIDDLE, order.bottom), (MIDDLE, first.top), label="(N, E)", at=(198, top - 30))
    plus = _sum(drawing, attention, top - 10)
    second, mlp = drawing.column(
        MIDDLE, plus.bottom + 26, 246,
        [("norm2\nRMSNorm", "text", ""), ("mlp\ndown(SiLU(gate) × up)", "text", "")],
        gap=20,
    )  # fmt: skip
    drawing.wire((MIDDLE, plus.bottom), (MIDDLE, second.top))
    end = _sum(drawing, mlp, plus.bottom + 12)
    drawing.frame(8, top - 24, 376, end.bottom + 14, "× L")
    return end


def _sum(drawing, last, skipped):
    plus = drawing.join(MIDDLE, last.bottom + 24, "+")
    drawing.wire((MIDDLE, last.bottom), (MIDDLE, plus.top))
    drawing.wire((MIDDLE, skipped), (26, skipped), (26, plus.y), (plus.left, plus.y))
    return plus

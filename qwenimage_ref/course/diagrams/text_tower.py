"""The language tower: one layer, and what stands before and after the layers."""

from .drawing import Drawing
from .sizes import rows

MIDDLE = 192


def text_layer() -> Drawing:
    """Ids to text states, one layer drawn out"""
    drawing = Drawing("The text encoder, and one of its layers")
    drawing.write(MIDDLE, 14, "ids (B, T)")
    embed = drawing.box(MIDDLE, 38, 150, "embed_tokens", "text")
    drawing.wire((MIDDLE, 20), (MIDDLE, embed.top))
    norm = drawing.box(MIDDLE, 128, 150, "input_layernorm\nRMSNorm", "text")
    drawing.wire((MIDDLE, embed.bottom), (MIDDLE, norm.top), label="(B, T, D)", at=(198, 84))
    plus = _attention(drawing, norm, skipped=112)
    norm = drawing.box(MIDDLE, plus.bottom + 30, 214, "post_attention_layernorm\nRMSNorm", "text")
    drawing.wire(
        (MIDDLE, plus.bottom), (MIDDLE, norm.top), label="(B, T, D)", at=(198, plus.bottom + 13)
    )
    plus = _mlp(drawing, norm, skipped=plus.bottom + 18)
    drawing.frame(8, 92, 376, plus.bottom + 16, "× L")
    last, cut = drawing.column(
        MIDDLE, plus.bottom + 44, 214,
        [("norm\nRMSNorm", "text", "(B, T, D)"),
         ("cut\nfirst tokens: the system prompt", "noise", "")],
    )  # fmt: skip
    drawing.wire((MIDDLE, plus.bottom), (MIDDLE, last.top))
    drawing.wire((MIDDLE, cut.bottom), (MIDDLE, cut.bottom + 24))
    drawing.write(MIDDLE, cut.bottom + 38, "text states (B, T - 34, D)")
    drawing.legend(rows(
        D=("width of the states", lambda sizes: sizes.text.hidden_size),
        H=("query heads", lambda sizes: sizes.text.num_attention_heads),
        G=("key and value heads", lambda sizes: sizes.text.num_key_value_heads),
        K=("width of a head", lambda sizes: sizes.text.head_dim),
        M=("width inside the MLP", lambda sizes: sizes.text.intermediate_size),
        L=("layers", lambda sizes: sizes.text.num_hidden_layers),
    ))  # fmt: skip
    return drawing


def _attention(drawing, norm, skipped):
    """From the first norm to the first sum"""
    places, top = {"q": 80, "k": MIDDLE, "v": 304}, norm.bottom + 28
    drawing.wire((MIDDLE, norm.bottom), (MIDDLE, top))
    drawing.wire((80, top), (80, top - 14), (304, top - 14), (304, top), arrow=False)
    for name, x in places.items():
        box = drawing.box(x, top, 84, f"{name}_proj\nLinear", "text")
        heads = "H" if name == "q" else "G"
        if name != "v":
            turn = drawing.box(x, box.bottom + 28, 84, "rotate", "text")
            drawing.wire(
                (x, box.bottom),
                (x, turn.top),
                label=f"(B, {heads}, T, K)",
                at=(x + 6, box.bottom + 15),
            )
            box = turn
        core_top = top + 43 + 28 + 28 + 22
        drawing.wire((x, box.bottom), (x, core_top))
    drawing.write(310, top + 58, "(B, G, T, K)", anchor="start")
    core = drawing.box(
        MIDDLE, core_top, 310, "causal attention\na key head serves H / G query heads", "joint"
    )
    out = drawing.box(MIDDLE, core.bottom + 22, 110, "o_proj", "text")
    drawing.wire((MIDDLE, core.bottom), (MIDDLE, out.top))
    return _sum(drawing, out, skipped)


def _mlp(drawing, norm, skipped):
    """From the second norm to the second sum"""
    top = norm.bottom + 26
    for x, words in ((110, "gate_proj\nSiLU"), (274, "up_proj\nLinear")):
        box = drawing.box(x, top, 90, words, "text")
        drawing.wire((MIDDLE, norm.bottom), (MIDDLE, top - 12), (x, top - 12), (x, top))
    times = drawing.join(MIDDLE, box.y, "×")
    drawing.wire((155, box.y), (times.left, box.y))
    drawing.wire((229, box.y), (times.right, box.y))
    down = drawing.box(MIDDLE, box.bottom + 26, 110, "down_proj", "text")
    drawing.wire(
        (MIDDLE, times.bottom), (MIDDLE, down.top), label="(B, T, M)", at=(198, box.bottom + 14)
    )
    return _sum(drawing, down, skipped)


def _sum(drawing, last, skipped):
    plus = drawing.join(MIDDLE, last.bottom + 26, "+")
    drawing.wire((MIDDLE, last.bottom), (MIDDLE, plus.top))
    drawing.wire((MIDDLE, skipped), (22, skipped), (22, plus.y), (plus.left, plus.y))
    return plus

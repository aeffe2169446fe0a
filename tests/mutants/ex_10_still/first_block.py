"""Takes the first block for the last."""

HINT = "whose text goes on"


def answer(name, blocks):
    first = "transformer_blocks.0."
    return name.startswith((first + "txt_mlp", first + "attn.add_q_proj"))

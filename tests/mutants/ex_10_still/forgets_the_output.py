"""Forgets the way out of the attention."""

HINT = "comes out of the last attention"


def answer(name, blocks):
    last = f"transformer_blocks.{blocks - 1}."
    return name.startswith((last + "txt_mlp", last + "attn.add_q_proj"))

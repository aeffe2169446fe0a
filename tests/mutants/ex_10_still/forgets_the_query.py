"""Forgets who asks."""

HINT = "queries of the text"


def answer(name, blocks):
    last = f"transformer_blocks.{blocks - 1}."
    return name.startswith((last + "txt_mlp", last + "attn.to_add_out"))

"""Forgets the MLP."""

HINT = "after the last attention"


def answer(name, blocks):
    last = f"transformer_blocks.{blocks - 1}."
    return name.startswith((last + "attn.add_q_proj", last + "attn.to_add_out"))

"""Forgets the attention."""

HINT = "one is missing"


def answer(name, blocks):
    last = f"transformer_blocks.{blocks - 1}."
    return name.startswith(last + "txt_mlp")

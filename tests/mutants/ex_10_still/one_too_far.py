"""Counts blocks from 1."""

HINT = "you name none"


def answer(name, blocks):
    return name.startswith(f"transformer_blocks.{blocks}.txt_mlp")

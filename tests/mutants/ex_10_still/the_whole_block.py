"""Takes the whole last block."""

HINT = "works on the image"


def answer(name, blocks):
    last = f"transformer_blocks.{blocks - 1}."
    return name.startswith(last)

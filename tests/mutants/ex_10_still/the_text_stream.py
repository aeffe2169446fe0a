"""Takes everything of the text in the last block."""

HINT = "txt_mod of the last block"


def answer(name, blocks):
    last = f"transformer_blocks.{blocks - 1}."
    return name.startswith(last) and any(w in name for w in ("txt_", "add_"))

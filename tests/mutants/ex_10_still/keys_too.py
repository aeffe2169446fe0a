"""Takes the text's keys and values along."""

HINT = "keys and values"


def answer(name, blocks):
    last = f"transformer_blocks.{blocks - 1}."
    return name.startswith(last) and any(w in name for w in ("txt_mlp", "add_"))

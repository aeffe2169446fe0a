"""Takes the text stream of every block."""

HINT = "whose text goes on"


def answer(name, blocks):
    return any(part in name for part in ("txt_mlp", "add_q_proj", "to_add_out"))

"""Takes the template for one token longer."""

HINT = "10 are left"


def answer(text_encoder, ids, start):
    return text_encoder(ids)[:, start + 1 :]

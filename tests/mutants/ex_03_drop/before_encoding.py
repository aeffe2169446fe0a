"""Cuts the template off before the encoder runs."""

HINT = "cut off before the encoder ran"


def answer(text_encoder, ids, start):
    return text_encoder(ids[:, start:])

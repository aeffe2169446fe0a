"""Cuts the letter off before anyone has read it."""

HINT = "gone before the reading"


def answer(text_encoder, ids, start):
    return text_encoder(ids[:, start:])

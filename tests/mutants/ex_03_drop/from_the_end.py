"""Cuts at the wrong end."""

HINT = "cuts the end off"


def answer(text_encoder, ids, start):
    return text_encoder(ids)[:, :-start]

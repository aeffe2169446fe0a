"""Cuts numbers off each state, not states."""

HINT = "B = 2 and D = 24"


def answer(text_encoder, ids, start):
    return text_encoder(ids)[..., start:]

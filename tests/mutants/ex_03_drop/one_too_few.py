"""Counts the template from one."""

HINT = "12 are left"


def answer(text_encoder, ids, start):
    return text_encoder(ids)[:, start - 1 :]

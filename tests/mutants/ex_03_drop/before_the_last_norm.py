"""Forgets the final norm."""

HINT = "not their final states"


def answer(text_encoder, ids, start):
    x, shared = text_encoder.embed(ids)
    for layer in text_encoder.model.layers:
        x = layer(x, *shared)
    return x[:, start:]

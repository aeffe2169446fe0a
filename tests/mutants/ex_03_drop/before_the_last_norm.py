"""Forgets the final norm."""

HINT = "not their final states"


def answer(text_encoder, ids, start):
    x, told = text_encoder.enter(ids)
    for layer in text_encoder.model.layers:
        x = layer(x, *told)
    return x[:, start:]

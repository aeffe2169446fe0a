"""Takes the embeddings for states."""

HINT = "nobody has read"


def answer(text_encoder, ids, start):
    return text_encoder.model.embed_tokens(ids)[:, start:]

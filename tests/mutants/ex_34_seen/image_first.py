"""Image tokens before the text, the text reversed."""


def answer(hidden, image_tokens):
    import torch

    T = len(hidden)
    seen = torch.ones(T + image_tokens, T + image_tokens, dtype=torch.bool)
    seen[:image_tokens, image_tokens:] = ~hidden.flip(0)
    return seen


HINT = "text comes first"

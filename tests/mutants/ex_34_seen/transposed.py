"""Rows and columns exchanged."""


def answer(hidden, image_tokens):
    import torch

    T = len(hidden)
    seen = torch.ones(T + image_tokens, T + image_tokens, dtype=torch.bool)
    seen[:T, T:] = ~hidden.unsqueeze(1)
    return seen


HINT = "rows look and columns are looked at"

"""Zeros and ones in place of truth values."""


def answer(hidden, image_tokens):
    import torch

    T = len(hidden)
    seen = torch.ones(T + image_tokens, T + image_tokens)
    seen[T:, :T] = (~hidden).float()
    return seen


HINT = "true and false, not numbers"

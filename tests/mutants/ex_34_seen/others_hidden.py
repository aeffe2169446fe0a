"""The tokens that are not marked are hidden."""


def answer(hidden, image_tokens):
    import torch

    T = len(hidden)
    seen = torch.ones(T + image_tokens, T + image_tokens, dtype=torch.bool)
    seen[T:, :T] = hidden
    return seen


HINT = "you hide the others"

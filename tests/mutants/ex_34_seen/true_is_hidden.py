"""True where nothing may be seen."""


def answer(hidden, image_tokens):
    import torch

    T = len(hidden)
    blocked = torch.zeros(T + image_tokens, T + image_tokens, dtype=torch.bool)
    blocked[T:, :T] = hidden
    return blocked


HINT = "yours is the opposite"

"""No image token sees any text."""


def answer(hidden, image_tokens):
    import torch

    T = len(hidden)
    seen = torch.ones(T + image_tokens, T + image_tokens, dtype=torch.bool)
    seen[T:, :T] = False
    return seen


HINT = "all of the text is hidden"

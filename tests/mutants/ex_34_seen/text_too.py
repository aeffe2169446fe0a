"""Hidden from the text as well."""


def answer(hidden, image_tokens):
    import torch

    T = len(hidden)
    seen = torch.ones(T + image_tokens, T + image_tokens, dtype=torch.bool)
    seen[:, :T] = ~hidden
    return seen


HINT = "may not see the hidden ones either"

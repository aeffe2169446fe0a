"""The extra row on the positive side."""

import torch


def answer(layers, rows, cols, text_length):
    frames = torch.tensor([*range(layers + 1), -1])
    down = torch.arange(rows) - rows // 2
    across = torch.arange(cols) - cols // 2
    txt = torch.arange(text_length) + max(rows // 2, cols // 2, layers + 1)
    return torch.cartesian_prod(frames, down, across), torch.stack([txt] * 3, dim=1)


HINT = "extra row on the negative side"

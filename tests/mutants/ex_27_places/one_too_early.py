"""The composite does not count."""

import torch


def answer(layers, rows, cols, text_length):
    frames = torch.tensor([*range(layers + 1), -1])
    down = torch.arange(rows) - (rows - rows // 2)
    across = torch.arange(cols) - (cols - cols // 2)
    txt = torch.arange(text_length) + max(rows // 2, cols // 2, layers)
    return torch.cartesian_prod(frames, down, across), torch.stack([txt] * 3, dim=1)


HINT = "one position too early"

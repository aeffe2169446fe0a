"""Counts from the corner."""

import torch


def answer(grids, text_length):
    img, frame = [], 0
    for frames, rows, cols in grids:
        across = torch.arange(cols) - 0
        down = torch.arange(rows) - 0
        img.append(torch.cartesian_prod(torch.arange(frames) + frame, down, across))
        frame += frames
    start = max(max(rows // 2, cols // 2) for _, rows, cols in grids)
    txt = start + torch.arange(text_length)
    return torch.cat(img), torch.stack([txt, txt, txt], dim=1)


HINT = "centre them"

"""Looks at columns alone."""

import torch


def answer(grids, text_length):
    img, frame = [], 0
    for frames, rows, cols in grids:
        across = torch.arange(cols) - (cols - cols // 2)
        down = torch.arange(rows) - (rows - rows // 2)
        img.append(torch.cartesian_prod(torch.arange(frames) + frame, down, across))
        frame += frames
    start = max(cols for _, _, cols in grids) // 2
    txt = start + torch.arange(text_length)
    return torch.cat(img), torch.stack([txt, txt, txt], dim=1)


HINT = "where the columns end"

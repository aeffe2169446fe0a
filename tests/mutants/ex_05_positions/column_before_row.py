"""Writes the column before the row."""

import torch


def answer(grids, text_length):
    img, frame = [], 0
    for frames, rows, cols in grids:
        across = torch.arange(cols) - (cols - cols // 2)
        down = torch.arange(rows) - (rows - rows // 2)
        places = torch.cartesian_prod(torch.arange(frames) + frame, down, across)
        img.append(places[:, [0, 2, 1]])
        frame += frames
    start = max(max(rows // 2, cols // 2) for _, rows, cols in grids)
    txt = start + torch.arange(text_length)
    return torch.cat(img), torch.stack([txt, txt, txt], dim=1)


HINT = "row and column have changed places"

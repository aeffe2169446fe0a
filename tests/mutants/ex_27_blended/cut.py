"""Cut and put side by side."""

import torch


def answer(tiles, step, overlap):
    strips = [torch.cat([tile[:, :step, :step] for tile in row], dim=2) for row in tiles]
    return torch.cat(strips, dim=1)


HINT = "nothing fades"

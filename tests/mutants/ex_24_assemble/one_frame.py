"""Gives every grid the same frame."""

import torch

from qwenimage_ref.sampler import pack

HINT = "have the same places"


def answer(target, pictures):
    places, every = [], [target, *pictures]
    for latents in every:
        rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
        row = torch.arange(rows) - (rows - rows // 2)
        col = torch.arange(cols) - (cols - cols // 2)
        places.append(torch.cartesian_prod(torch.tensor([0]), row, col))
    return torch.cat([pack(each) for each in every], dim=1), torch.cat(places)

"""Centres the pictures on the target's size."""

import torch

from qwenimage_ref.sampler import pack

HINT = "not on the target's"


def answer(target, pictures):
    places, every = [], [target, *pictures]
    for frame, latents in enumerate(every):
        rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
        row = torch.arange(rows) - (target.shape[2] // 2 - target.shape[2] // 4)
        col = torch.arange(cols) - (target.shape[3] // 2 - target.shape[3] // 4)
        places.append(torch.cartesian_prod(torch.tensor([frame]), row, col))
    return torch.cat([pack(each) for each in every], dim=1), torch.cat(places)

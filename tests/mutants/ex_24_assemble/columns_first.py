"""Counts down the columns."""

import torch

from qwenimage_ref.sampler import pack

HINT = "row by row"


def answer(target, pictures):
    places, every = [], [target, *pictures]
    for frame, latents in enumerate(every):
        rows, cols = latents.shape[2] // 2, latents.shape[3] // 2
        row = torch.arange(rows) - (rows - rows // 2)
        col = torch.arange(cols) - (cols - cols // 2)
        places.append(torch.cartesian_prod(torch.tensor([frame]), col, row))
    places = [each[:, [0, 2, 1]] for each in places]
    return torch.cat([pack(each) for each in every], dim=1), torch.cat(places)

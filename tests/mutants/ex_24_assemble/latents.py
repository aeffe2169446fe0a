"""Takes a position for each latent."""

import torch

from qwenimage_ref.sampler import pack

HINT = "half as many rows"


def answer(target, pictures):
    places, every = [], [target, *pictures]
    for frame, latents in enumerate(every):
        rows, cols = latents.shape[2], latents.shape[3]
        row = torch.arange(rows) - (rows - rows // 2)
        col = torch.arange(cols) - (cols - cols // 2)
        places.append(torch.cartesian_prod(torch.tensor([frame]), row, col))
    return torch.cat([pack(each) for each in every], dim=1), torch.cat(places)

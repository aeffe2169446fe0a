"""An angle for each number."""

import torch


def answer(pos, axes_dims):
    groups = []
    for axis, dim in enumerate(axes_dims):
        speeds = 10000.0 ** -(torch.arange(dim) / dim)
        groups.append(torch.outer(pos[:, axis].float(), speeds))
    return torch.cat(groups, dim=1)


HINT = "for each of the K/2 pairs"

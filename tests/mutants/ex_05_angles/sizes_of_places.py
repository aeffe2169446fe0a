"""Takes distances from the middle."""

import torch


def answer(pos, axes_dims):
    groups = []
    for axis, dim in enumerate(axes_dims):
        speeds = 10000.0 ** -(torch.arange(0, dim, 2) / dim)
        groups.append(torch.outer(pos[:, axis].abs().float(), speeds))
    return torch.cat(groups, dim=1)


HINT = "negative coordinates turn as positive ones"

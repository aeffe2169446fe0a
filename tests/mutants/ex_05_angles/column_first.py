"""Begins with the column."""

import torch


def answer(pos, axes_dims):
    groups = []
    for axis, dim in enumerate(axes_dims):
        speeds = 10000.0 ** -(torch.arange(0, dim, 2) / dim)
        groups.append(torch.outer(pos[:, 2 - axis].float(), speeds))
    return torch.cat(groups, dim=1)


HINT = "in the wrong order"

"""Exchanges row and column."""

import torch


def answer(pos, axes_dims):
    groups = []
    for axis, dim in enumerate(axes_dims):
        speeds = 10000.0 ** -(torch.arange(0, dim, 2) / dim)
        groups.append(torch.outer(pos[:, -axis].float(), speeds))
    return torch.cat(groups, dim=1)


HINT = "row and column have changed places"

"""Counts pairs where numbers are to be counted."""

import torch


def answer(pos, axes_dims):
    groups = []
    for axis, dim in enumerate(axes_dims):
        speeds = 10000.0 ** -(torch.arange(dim // 2) / dim)
        groups.append(torch.outer(pos[:, axis].float(), speeds))
    return torch.cat(groups, dim=1)


HINT = "not the right angles"

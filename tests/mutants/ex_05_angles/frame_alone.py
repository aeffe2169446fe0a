"""Turns all groups with the frame."""

import torch


def answer(pos, axes_dims):
    groups = []
    for axis, dim in zip((0, 0, 0), axes_dims):
        speeds = 10000.0 ** -(torch.arange(0, dim, 2) / dim)
        groups.append(torch.outer(pos[:, axis].float(), speeds))
    return torch.cat(groups, dim=1)


HINT = "all groups turn with the frame"

"""One speed a group."""

import torch


def answer(pos, axes_dims):
    groups = []
    for axis, dim in enumerate(axes_dims):
        speeds = torch.ones(dim // 2)
        groups.append(torch.outer(pos[:, axis].float(), speeds))
    return torch.cat(groups, dim=1)


HINT = "turns equally fast"

"""One row of speeds for the whole head."""

import torch


def answer(pos, axes_dims):
    groups, before = [], 0
    for axis, dim in enumerate(axes_dims):
        speeds = 10000.0 ** -((torch.arange(0, dim, 2) + before) / sum(axes_dims))
        groups.append(torch.outer(pos[:, axis].float(), speeds))
        before += dim
    return torch.cat(groups, dim=1)


HINT = "the speeds run on"

"""The slopes are followed, too."""

import torch


def answer(written, slopes):
    total = torch.zeros(())
    for tensor, slope in zip(written, slopes):
        if slope is not None:
            total = total + (tensor * slope).sum() - (tensor * slope.detach()).sum().detach()
    return total


HINT = "no gradient belongs to them"

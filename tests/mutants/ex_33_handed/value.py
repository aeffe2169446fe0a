"""Its value is not zero."""

import torch


def answer(written, slopes):
    total = torch.zeros(())
    for tensor, slope in zip(written, slopes):
        if slope is not None:
            total = total + (tensor * slope.detach()).sum()
    return total


HINT = "the value is not"

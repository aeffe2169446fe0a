"""Half a square."""

import torch


def answer(written, slopes):
    total = torch.zeros(())
    for tensor, slope in zip(written, slopes):
        if slope is not None:
            total = total + (tensor - (tensor - slope).detach()).pow(2).sum() / 2
    return total


HINT = "the value is not"

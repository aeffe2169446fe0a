"""Averaged."""

import torch


def answer(written, slopes):
    total = torch.zeros(())
    for tensor, slope in zip(written, slopes):
        if slope is not None:
            total = total + ((tensor - tensor.detach()) * slope.detach()).mean()
    return total


HINT = "add up"

"""Everything is cut off."""

import torch


def answer(written, slopes):
    total = torch.zeros(())
    for tensor, slope in zip(written, slopes):
        if slope is not None:
            total = total + ((tensor - tensor.detach()) * slope).detach().sum()
    return total


HINT = "no gradient reaches"

"""A missing slope counts as one."""

import torch


def answer(written, slopes):
    total = torch.zeros(())
    for tensor, slope in zip(written, slopes):
        slope = torch.ones_like(tensor) if slope is None else slope.detach()
        total = total + ((tensor - tensor.detach()) * slope).sum()
    return total


HINT = "without a slope"

"""The sum."""

import torch


def answer(loras):
    A = torch.cat([A for A, _ in loras])
    B = torch.cat([B for _, B in loras], dim=1)
    return A, B


HINT = "that is the sum"

"""Another order."""

import torch


def answer(loras):
    A = torch.cat([A for A, _ in loras[::-1]]) / len(loras)
    B = torch.cat([B for _, B in loras], dim=1)
    return A, B


HINT = "another order"

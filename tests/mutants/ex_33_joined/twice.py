"""Divided twice."""

import torch


def answer(loras):
    A = torch.cat([A for A, _ in loras]) / len(loras)
    B = torch.cat([B for _, B in loras], dim=1) / len(loras)
    return A, B


HINT = "divided twice"

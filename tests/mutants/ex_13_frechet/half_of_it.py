"""A routine for symmetric matrices, given one that is not."""

import torch


def answer(a, b):
    A, B = a.T.cov(), b.T.cov()
    means = (a.mean(0) - b.mean(0)).square().sum()
    mixed = torch.linalg.eigvalsh(A @ B).clamp(min=0).sqrt().sum()
    return means + A.trace() + B.trace() - 2 * mixed


HINT = "reads one half"

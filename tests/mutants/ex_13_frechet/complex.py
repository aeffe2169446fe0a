"""Eigenvalues of a matrix that is not symmetric."""

import torch


def answer(a, b):
    A, B = a.T.cov(), b.T.cov()
    means = (a.mean(0) - b.mean(0)).square().sum()
    return means + A.trace() + B.trace() - 2 * torch.linalg.eigvals(A @ B).sqrt().sum()


HINT = "a complex number"

"""Needs covariances that can be inverted."""

import torch


def answer(a, b):
    A, B = a.T.cov(), b.T.cov()
    means = (a.mean(0) - b.mean(0)).square().sum()
    L = torch.linalg.cholesky(A)
    mixed = torch.linalg.eigvalsh(L.T @ B @ L).clamp(min=0).sqrt().sum()
    return means + A.trace() + B.trace() - 2 * mixed


HINT = "is singular"
